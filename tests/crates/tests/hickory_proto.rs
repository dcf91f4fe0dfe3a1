//! hickory-proto, which makes and reads the messages of DNS and leaves sockets to others, over green UDP.

use std::net::Ipv4Addr;

use evy::net::UdpSocket;
use evy_test_crates::{CLIENTS, at_once};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// The addresses that a server has for a name.
fn lookup(server: &UdpSocket, name: &str) -> Vec<Ipv4Addr> {
    let mut query = Message::query();
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    server.send(&query.to_vec().unwrap()).unwrap();
    let mut buffer = [0; 1500];
    loop {
        let count = server.recv(&mut buffer).unwrap();
        let answer = Message::from_vec(&buffer[..count]).unwrap();
        // What belongs to another question is nothing to us.
        if answer.metadata.id == query.metadata.id {
            let addresses = answer.answers.iter().filter_map(|record| match &record.data {
                RData::A(A(address)) => Some(*address),
                _ => None,
            });
            return addresses.collect();
        }
    }
}

#[test]
fn lookups_overlap() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    evy::spawn_n(move || {
        // Nobody is answered before all have asked; who has asked last comes first.
        let mut buffer = [0; 1500];
        let mut questions: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (count, client) = server.recv_from(&mut buffer).unwrap();
                (Message::from_vec(&buffer[..count]).unwrap(), client)
            })
            .collect();
        while let Some((question, client)) = questions.pop() {
            let name = question.queries[0].name().clone();
            let number =
                name.to_ascii().trim_start_matches("host").split('.').next().unwrap().parse();
            let data = RData::A(A(Ipv4Addr::new(10, 0, 0, number.unwrap())));
            let mut answer = question.into_response();
            answer.add_answer(Record::from_rdata(name, 60, data));
            let mut other = answer.clone();
            other.metadata.id ^= 1;
            other.answers.clear();
            for message in [other, answer] {
                server.send_to(&message.to_vec().unwrap(), client).unwrap();
            }
        }
    });
    let found = at_once(move |number| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        lookup(&socket, &format!("host{number}.example."))
    });
    for (number, found) in found.into_iter().enumerate() {
        assert_eq!(found, [Ipv4Addr::new(10, 0, 0, number as u8)]);
    }
}
