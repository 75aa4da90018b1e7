//! Making new objects.
