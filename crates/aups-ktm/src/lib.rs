//! The Keys Topics Manager: roots, scopes, epochs, bumps, publisher slots
