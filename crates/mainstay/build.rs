//! Asks the linker for a smaller program: what of it is read and written at the start is memory that an idle server holds.
//!
//! - `-z pack-relative-relocs` keeps the 100,000 addresses that are adjusted at the start as a bitmap (2.3 MB less to
//!   read). glibc understands it since 2.36, so it is asked for where this machine's is as new.
//! - `--icf=safe` keeps one copy of functions that came out the same, unless somebody compares their addresses.
//!
//! Both are for the linker that Rust brings on x86-64 Linux; elsewhere the program is linked as usual.

use std::process::Command;

/// The first glibc that reads packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts by the environment")]
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if (target("ARCH"), target("OS"), target("ENV")) != ("x86_64".into(), "linux".into(), "gnu".into()) {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--icf=safe");
    if glibc().is_some_and(|version| version >= PACKED_SINCE) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc, from `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
