//! The embedded MQTT broker behind a Gate that says who may do what. Cannot decrypt
