-- One reading per POST. BEARER is the source's credential, if the contender wants one.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local bearer = os.getenv("BEARER")
if bearer then wrk.headers["Authorization"] = "Bearer " .. bearer end
wrk.body = '{"nodeId":"sensor1","kind":"temperature","value":21.5,"unit":"Cel","time":"1988-01-01T01:00:00-05:00","uncertainty":7}'

-- One line of JSON on standard error: wrk's own report stays readable.
function done(summary, latency)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests":%d,"refused":%d,"broken":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
