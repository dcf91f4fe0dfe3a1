//! Tests that need a network of their own: nothing in it but `lo`, and the test is root there. They are ignored
//! unless asked for, as `make acceptance` does: where they cannot be done, they fail.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::dns::Dns;
use super::{assert_success, child_command, is_child};

/// Runs `f` for the test `name`, in a process and a network of its own.
#[track_caller]
pub(crate) fn alone_in_a_network(name: &str, f: impl FnOnce()) {
    alone_in_a_network_with(name, &[], f);
}

/// The same with these variables set.
#[track_caller]
pub(crate) fn alone_in_a_network_with(name: &str, variables: &[(&str, &str)], f: impl FnOnce()) {
    if is_child() {
        assert_eq!(lo_up(), 0);
        return f();
    }
    const NEW: [&str; 3] = ["-r", "-n", "-m"];
    let possible = Command::new("unshare").args(NEW).arg("true").status();
    assert!(possible.is_ok_and(|status| status.success()), "this needs network namespaces");
    let test = child_command(name);
    let mut unshare = Command::new("unshare");
    unshare.args(NEW).arg(test.get_program()).args(test.get_args());
    for (variable, value) in test.get_envs() {
        unshare.env(variable, value.expect("it is set"));
    }
    unshare.envs(variables.iter().copied());
    assert_success(unshare.output().unwrap());
}

fn lo_up() -> libc::c_int {
    // SAFETY: the request is all zeroes, which is valid, but for what is set here, and lives through
    // the call.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let result = libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request);
        libc::close(socket);
        result
    }
}

/// The ports of outgoing connections.
pub(crate) fn set_ports(range: &str) {
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).unwrap();
}

/// Makes a name server of ours the one that this process asks, as long as it takes, after a file of
/// hosts that has `hosts`.
pub(crate) fn name_server(hosts: &str) -> Dns {
    mount("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n");
    mount("/etc/hosts", hosts);
    mount("/etc/nsswitch.conf", "hosts: files dns\n");
    Dns::start(([127, 0, 0, 1], 53).into())
}

/// Gives this process another file of hosts, after that of [`name_server`].
pub(crate) fn hosts(text: &str) {
    assert!(Command::new("umount").arg("/etc/hosts").status().unwrap().success());
    mount("/etc/hosts", text);
}

/// Puts a file of ours in the place of one of the system's, for this process and its mount namespace.
fn mount(path: &str, text: &str) {
    if !Path::new(path).exists() {
        return;
    }
    let ours = std::env::temp_dir().join(format!("evy-{}-{}", std::process::id(), path.len()));
    fs::write(&ours, text).unwrap();
    let status = Command::new("mount").arg("--bind").arg(&ours).arg(path).status().unwrap();
    // The mount keeps the file.
    fs::remove_file(&ours).unwrap();
    assert!(status.success());
}
