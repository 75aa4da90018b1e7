//! The calls of a store, each passed to its engine. The set of engines is closed, so no call needs a trait object, and a
//! reply stays generic.

/// Calls the same method of whichever engine it is.
macro_rules! each {
    ($store:expr, $method:ident($($argument:expr),*)) => {
        match &$store.0 {
            crate::Engine::Sqlite(store) => store.$method($($argument),*),
            #[cfg(feature = "etcd")]
            crate::Engine::Etcd(store) => store.$method($($argument),*),
        }
    };
}

mod checks;
mod objects;
mod slots;
mod trash;
mod whole;
mod writes;
