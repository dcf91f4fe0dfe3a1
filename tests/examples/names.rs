//! Many names at once.

use super::*;

#[test]
fn dns_mass_resolve_prints_a_line_for_each_name() {
    // A label that is too long for any name server.
    let impossible = "x".repeat(64) + ".example";
    let names =
        ["localhost", "a.localhost", "192.0.2.1", "2001:db8::1", "fe80::1%no-such", &impossible];
    for output in [
        run("dns_mass_resolve", &names),
        run_with_input("dns_mass_resolve", &[], &(names.join("\n") + "\n")),
    ] {
        assert!(output.status.success(), "{output:?}");
        let lines = lines(&output);
        assert_eq!(lines.last(), Some(&"6 of 6 names within 2s"), "{lines:#?}");
        let of = |name: &str| {
            let start = format!("{name}: ");
            lines.iter().find_map(|line| line.strip_prefix(&start)).expect(name)
        };
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("2001:db8::1"), "2001:db8::1");
        for name in ["localhost", "a.localhost"] {
            let mut addresses = of(name).split(' ').map(|text| text.parse::<IpAddr>().unwrap());
            assert!(addresses.all(|address| address.is_loopback()), "{lines:#?}");
        }
        assert_eq!(
            of("invalid address 'fe80::1%no-such'"),
            "there is no network interface 'no-such'"
        );
        assert!(
            of(&impossible).starts_with("failed to lookup address information: "),
            "{lines:#?}"
        );
    }
}
