//! Links the module so that it is never unloaded, and exports the functions of PKCS#11 alone.

fn main() {
    // Applications unload modules from threads that still run in them, and call them after their exit handlers.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // The lists lead to the functions here, whatever another module in the process exports.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    println!("cargo:rerun-if-changed=build.rs");
}
