//! What must survive: the versioned store and the ingest queue
