//! Showing objects.
