"""What Schemathesis does not know of this API by itself."""

import schemathesis

# A JWS in its compact form, and what else goes as it is.
schemathesis.serializer.alias("application/jose", "text/plain")
schemathesis.serializer.alias("application/x-ndjson", "text/plain")
schemathesis.serializer.alias("application/aups", "application/octet-stream")
