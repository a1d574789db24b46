//! The Networked Smart Object: southbound, normalise, analyse, topic, PEP, seal, publish; the key service
