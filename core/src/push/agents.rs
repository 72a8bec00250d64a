//! Which HTTP clients are pushed to over UDP, by what they call themselves (Nacos `PushService.canEnablePush`).

use crate::naming::Switches;

/// Whether a client with this `User-Agent` takes pushes: it is of a kind that listens, and of a version from which
/// its kind does (switches `pushVersion`). What names no version counts as 0.0.0.
pub(super) fn takes_pushes(agent: &str, switches: &Switches) -> bool {
    let kinds = [
        ("Nacos-Java-Client", &switches.push_version_java),
        ("Nacos-Go-Client", &switches.push_version_go),
        ("Nacos-DNS", &switches.push_version_python),
        ("Nacos-C-Client", &switches.push_version_c),
        ("vip-client4cpp", &switches.push_version_c),
        ("Nacos-CSharp-Client", &switches.push_version_csharp),
    ];
    switches.push_enabled
        && kinds
            .iter()
            .find(|(prefix, _)| agent.starts_with(prefix))
            .is_some_and(|(_, least)| version(after_mark(agent)) >= version(least))
}

/// What follows the first `:v`.
fn after_mark(agent: &str) -> &str {
    agent.split_once(":v").map_or("", |(_, version)| version)
}

/// The first three numbers of a dotted version; what is no number is 0, and a suffix as in `1.4.1-beta` is left out.
fn version(text: &str) -> [u32; 3] {
    let mut out = [0; 3];
    for (number, part) in out.iter_mut().zip(text.trim().split('.')) {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        *number = part[..digits].parse().unwrap_or(0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_versions() {
        let switches = Switches::default();
        let taken = [
            "Nacos-Java-Client:v1.4.1",
            "Nacos-Java-Client:v0.1.0",
            "Nacos-Go-Client:v1.0.1",
            "Nacos-DNS:v0.4.3",
            "Nacos-C-Client:v1.0.12",
            "vip-client4cpp:v1.1",
            "Nacos-CSharp-Client:v0.10.0-rc1",
        ];
        let left = [
            "Nacos-Java-Client",
            "Nacos-Java-Client:v0.0.9",
            "Nacos-Java-Client:vNext",
            "Nacos-DNS:v0.4.2",
            "Nacos-C-Client:v1.0.9",
            "Nacos-CSharp-Client:v0.8.9",
            "Nacos-Python-Client",
            "Nacos-SDK-Java:v1.0.0",
            "Nacos-Server:v2.0.0",
            "curl/8.0",
            "",
        ];
        for agent in taken {
            assert!(takes_pushes(agent, &switches), "{agent}");
        }
        for agent in left {
            assert!(!takes_pushes(agent, &switches), "{agent}");
        }
    }

    #[test]
    fn the_switches_decide() {
        let mut switches = Switches {
            push_version_java: "1.5.0".into(),
            ..Switches::default()
        };
        assert!(!takes_pushes("Nacos-Java-Client:v1.4.9", &switches));
        assert!(takes_pushes("Nacos-Java-Client:v1.5.0", &switches));
        switches.push_enabled = false;
        assert!(!takes_pushes("Nacos-Java-Client:v1.5.0", &switches));
    }
}
