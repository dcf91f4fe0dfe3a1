//! `localhost` and the names below it: this machine, whatever a name server may say (RFC 6761), and
//! without a lookup.
//!
//! As everywhere `/etc/hosts` comes first: where it gives `localhost` nothing but `127.0.0.1`, other
//! programs look there and nowhere else. It is read again when it has changed.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, TryLockError};

use crate::green_io::sys::inet;

const HOSTS: &str = "/etc/hosts";

/// The addresses of `host` in the order of RFC 6724, if it is such a name.
pub(super) fn loopback(host: &str) -> Option<Vec<IpAddr>> {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_below =
        |name: &str| name.strip_suffix(".localhost").is_some_and(|rest| !rest.is_empty());
    if name != "localhost" && !is_below(&name) {
        return None;
    }
    let mut addresses = listed(&name);
    if addresses.is_empty() {
        addresses = vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
    }
    if addresses.iter().any(IpAddr::is_ipv4) && addresses.iter().any(IpAddr::is_ipv6) {
        // IPv6 first, unless this machine has none.
        let has_ipv6 = inet::has_ipv6_loopback();
        addresses.sort_by_key(|address| address.is_ipv4() == has_ipv6);
    }
    Some(addresses)
}

/// What tells one state of a file from another.
type Stamp = (u64, u64, i64, i64, u64);

/// What the file says of these names.
#[derive(Default)]
struct Hosts {
    /// `None`: it cannot be read.
    stamp: Option<Stamp>,
    entries: Vec<(String, IpAddr)>,
}

static READ: Mutex<Hosts> = Mutex::new(Hosts { stamp: None, entries: Vec::new() });

/// The addresses of `name` in the file; for one below `localhost` that it does not have, those of that.
fn listed(name: &str) -> Vec<IpAddr> {
    let mut own = Hosts::default();
    let mut read = match READ.try_lock() {
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        read => read.ok(),
    };
    // Somebody reads the file, or did in the parent when this process was forked: so it is read once more.
    let hosts = read.as_deref_mut().unwrap_or(&mut own);
    let stamp = stamp();
    if hosts.stamp != stamp {
        let text = fs::read(HOSTS).unwrap_or_default();
        *hosts = Hosts { stamp, entries: entries(&String::from_utf8_lossy(&text)) };
    }
    let mut found = hosts.addresses(name);
    if found.is_empty() {
        found = hosts.addresses("localhost");
    }
    found
}

fn stamp() -> Option<Stamp> {
    let file = fs::metadata(HOSTS).ok()?;
    Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
}

impl Hosts {
    fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let mut found = Vec::new();
        for (entry, address) in &self.entries {
            if entry == name && !found.contains(address) {
                found.push(*address);
            }
        }
        found
    }
}

/// Each line is an address and its names. What is not of this machine is left out.
fn entries(text: &str) -> Vec<(String, IpAddr)> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        if !address.is_loopback() {
            continue;
        }
        let names = words.map(str::to_ascii_lowercase).filter(|name| name.ends_with("localhost"));
        entries.extend(names.map(|name| (name, address)));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_this_machine_are_known_however_they_are_written() {
        for name in ["localhost", "LocalHost", "localhost.", "a.localhost", "x.y.LOCALHOST."] {
            let addresses = loopback(name).unwrap();
            assert!(!addresses.is_empty(), "{name}");
            assert!(addresses.iter().all(IpAddr::is_loopback), "{name}: {addresses:?}");
        }
        for name in ["", ".", "localhost..", ".localhost", "nolocalhost", "localhost.example", "a"]
        {
            assert_eq!(loopback(name), None, "{name}");
        }
    }

    /// In a child that was forked meanwhile, nobody is there to give the lock back.
    #[test]
    fn fault_35_who_reads_the_file_keeps_nobody_waiting() {
        let _reading = READ.lock();
        assert_eq!(loopback("localhost"), loopback("LOCALHOST"));
    }

    #[test]
    fn lines_of_the_file_are_taken_as_the_system_takes_them() {
        let text = "# localhost 127.0.0.9\n\
             127.0.0.1\tlocalhost  vm # ::1 localhost\n\
             ::1 ip6-localhost localhost\r\n\
             127.0.0.5 App.Localhost\n\
             192.0.2.1 localhost\n\
             nonsense localhost\n\
             127.0.0.1 localhost";
        let hosts = Hosts { stamp: None, entries: entries(text) };
        let addresses = |name: &str| {
            hosts.addresses(name).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(addresses("localhost"), "127.0.0.1 ::1");
        assert_eq!(addresses("app.localhost"), "127.0.0.5");
        assert_eq!(addresses("other.localhost"), "");
    }
}
