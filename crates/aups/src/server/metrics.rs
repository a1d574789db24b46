//! What `/metrics` shows: every metric with its kind, unit and meaning. `docs/guide/metrics.md` says the same and when to
//! worry; a test compares the two, and both with what running servers show.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// A metric.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// What its numbers count.
    pub(crate) unit: Unit,
    pub(crate) meaning: &'static str,
}

/// What a metric does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Quantiles since the start, with sum and count.
    Summary,
}

const fn counter(name: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit: Unit::Count, meaning }
}

const fn gauge(name: &'static str, unit: Unit, meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit, meaning }
}

/// Every metric, by name.
pub(crate) const METRICS: &[Metric] = &[
    counter("aups_audit_errors_total", "writes of the audit trail that failed"),
    gauge("aups_backlog_items", Unit::Count, "items taken and not yet acknowledged by the broker"),
    gauge("aups_batches_in_flight", Unit::Count, "batches handed to the broker and not yet acknowledged"),
    counter("aups_broker_barrier_errors_total", "waits for the embedded broker's disk that failed"),
    counter("aups_broker_barriers_total", "waits for the embedded broker's disk before an acknowledgement"),
    counter("aups_broker_connects_refused_total", "MQTT connections that the embedded broker refused"),
    counter("aups_broker_connects_total", "MQTT connections that the embedded broker took"),
    counter("aups_broker_messages_total", "messages that the NOS published to the embedded broker"),
    counter("aups_broker_publishes_refused_total", "messages of readers that the embedded broker refused"),
    counter(
        "aups_broker_readers_overrun_total",
        "times that a connected reader was too slow to be waited for: its oldest messages may be dropped",
    ),
    counter("aups_broker_sessions_ended_total", "sessions ended because their readers lost a right"),
    counter("aups_broker_subscribes_refused_total", "topic filters that the policies do not accept"),
    gauge("aups_config_version", Unit::Count, "number of the configuration in force"),
    gauge("aups_dead_letters", Unit::Count, "items set aside because they could be taken no further"),
    counter("aups_dead_letters_dropped_total", "dead letters that went because there were too many"),
    counter("aups_dead_letters_total", "items that were set aside"),
    counter("aups_http_connections_cut_total", "HTTP connections that were ended because of what their peers did"),
    counter("aups_items_accepted_total", "items taken (202)"),
    counter("aups_items_given_up_total", "items that could be taken no further"),
    counter("aups_items_published_total", "items published and acknowledged by the broker"),
    counter("aups_items_raw_total", "items taken that no mapping fits, kept under the schema raw"),
    counter("aups_items_resealed_total", "retained messages sealed anew, or cleared, for new keys or policies"),
    counter("aups_items_withheld_total", "items taken that are not published"),
    counter("aups_key_requests_dropped_total", "key requests over MQTT that were not answered"),
    counter("aups_keys_denied_total", "keys that readers asked for and did not get"),
    counter("aups_keys_granted_total", "keys that readers asked for and got"),
    counter("aups_ktm_bumps_total", "scopes whose keys were replaced because somebody lost a right"),
    counter("aups_ktm_compromised_total", "scopes whose keys were reported as held by somebody who should not"),
    counter("aups_ktm_keys_asked_ahead_total", "keys of the following epoch that a NOS apart fetched ahead"),
    counter("aups_ktm_keys_refused_total", "keys that the KTM did not give"),
    gauge("aups_ktm_lease_held", Unit::Count, "of a NOS apart: 1 while it may seal and give keys, else 0"),
    counter("aups_ktm_rewraps_total", "secrets that were wrapped anew under another key-encryption key"),
    gauge("aups_ktm_scopes", Unit::Count, "scopes that the KTM keeps"),
    gauge("aups_ktm_skew_seconds", Unit::Seconds, "of a NOS apart: how far its clock is ahead of the KTM's"),
    counter("aups_link_connections_refused_total", "connections of NOSs that the KTM refused for want of room"),
    counter("aups_link_requests_total", "requests of NOSs to the KTM, by the status of the answer"),
    counter("aups_listener_connections_total", "connections that listeners took"),
    counter("aups_listener_refused_total", "connections that listeners did not let in"),
    counter(
        "aups_mapping_times_unread_total",
        "values that a mapping did not fit because it could not read their time",
    ),
    counter("aups_notifications_total", "items that say on another topic that there was one"),
    counter("aups_offences_total", "what senders did wrong"),
    counter("aups_policy_errors_total", "decisions on items and keys that failed: each a no"),
    Metric {
        name: "aups_publish_latency_seconds",
        kind: Kind::Summary,
        unit: Unit::Seconds,
        meaning: "from reception to the hand-over to the broker, of the first item of each batch",
    },
    gauge("aups_quarantined_senders", Unit::Count, "senders that are kept out now"),
    counter("aups_quarantines_total", "senders that were put in quarantine"),
    gauge("aups_queue_bytes", Unit::Bytes, "bytes of the ingest queue on disk"),
    counter("aups_queue_commits_total", "syncs of the ingest queue, each of as many records as waited"),
    counter("aups_queue_errors_total", "writes of the ingest queue that failed"),
    gauge("aups_queue_failing", Unit::Count, "1 while the disk takes nothing, and POST /data answers 503 disk"),
    counter("aups_queue_records_total", "records written to the ingest queue"),
    counter("aups_requests_refused_total", "requests that were refused, by the code of their problem"),
    gauge("aups_scope_cache_entries", Unit::Count, "kinds of items for which the scope is kept"),
    counter("aups_scope_cache_hits_total", "items whose scope was found ready"),
    counter("aups_scope_cache_misses_total", "items for which policies were evaluated"),
    counter("aups_score_override_errors_total", "expressions that gave no score: the formula's stood"),
];

/// Tells the recorder what everything means.
pub(crate) fn describe() {
    for Metric { name, kind, unit, meaning, .. } in METRICS {
        match kind {
            Kind::Counter => describe_counter!(*name, *unit, *meaning),
            Kind::Gauge => describe_gauge!(*name, *unit, *meaning),
            Kind::Summary => describe_histogram!(*name, *unit, *meaning),
        }
    }
}

#[cfg(test)]
mod tests;
