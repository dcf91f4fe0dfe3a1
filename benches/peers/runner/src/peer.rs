//! Who is compared: what tells a contender's peer, and how it looks in a plot.

/// A peer, as a column of the summary and a colour of the plots.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The name where there is little room.
    pub(crate) short: &'static str,
    /// Words that the names of its contenders contain, all of them.
    words: &'static [&'static str],
    /// Of middling brightness, so that it can be seen on white and on black.
    pub(crate) colour: &'static str,
}

/// In the order of the columns; evy first. What stands earlier takes a name that fits both.
pub(crate) const PEERS: [Peer; 10] = [
    Peer { name: "evy", short: "evy", words: &["evy"], colour: "#e0403f" },
    Peer { name: "raw", short: "raw", words: &["raw"], colour: "#808890" },
    Peer {
        name: "tokio current_thread",
        short: "tokio",
        words: &["tokio", "current_thread"],
        colour: "#2f81d8",
    },
    Peer {
        name: "tokio multi_thread",
        short: "tokio mt",
        words: &["tokio", "multi_thread"],
        colour: "#20a4b4",
    },
    Peer { name: "may", short: "may", words: &["may"], colour: "#2e9e52" },
    Peer { name: "smol", short: "smol", words: &["smol"], colour: "#9a62d4" },
    Peer { name: "monoio", short: "monoio", words: &["monoio"], colour: "#d4609c" },
    Peer { name: "Go", short: "Go", words: &["Go"], colour: "#d98a1f" },
    Peer { name: "gevent", short: "gevent", words: &["gevent"], colour: "#a87a4a" },
    Peer { name: "eventlet", short: "eventlet", words: &["eventlet"], colour: "#8a9a2b" },
];

impl Peer {
    /// The place in [`PEERS`] of the peer that a contender of this name belongs to.
    pub(crate) fn place_of(contender: &str) -> Option<usize> {
        let fits = |peer: &Peer| peer.words.iter().all(|word| contender.contains(word));
        PEERS.iter().position(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contender_belongs_to_its_peer_whatever_else_its_name_says() {
        let peer = |name| Peer::place_of(name).map(|place| PEERS[place].name);
        assert_eq!(peer("evy, bounded(1)"), Some("evy"));
        assert_eq!(peer("hyper, tokio current_thread"), Some("tokio current_thread"));
        assert_eq!(peer("tokio multi_thread, 1 worker"), Some("tokio multi_thread"));
        assert_eq!(peer("may_minihttp, 1 worker"), Some("may"));
        assert_eq!(peer("Go net/http, GOMAXPROCS=1"), Some("Go"));
        assert_eq!(peer("another"), None);
    }
}
