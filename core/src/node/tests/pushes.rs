//! Pushes over UDP and gRPC through the whole node.

use super::*;

#[test]
fn a_udp_subscriber_gets_a_lone_change_at_once_and_a_storm_every_500_ms() {
    let mut trial = Trial::new();
    trial.subscribe_udp();
    trial.pass(500);
    assert_eq!(trial.datagrams().len(), 1, "the first, after a window");
    trial.pass(5_000);
    trial.register(1);
    assert_eq!(trial.datagrams().len(), 1, "at once");
    let mut sent = 0;
    for n in 0..100 {
        trial.register(2 + n);
        trial.pass(50);
        sent += trial.datagrams().len();
    }
    assert_eq!(sent, 10, "5 s of storm");
}

#[test]
fn a_datagram_is_sent_twice_until_it_is_acknowledged_and_the_silent_are_forgotten() {
    let mut trial = Trial::new();
    let (ip, port): (Arc<str>, u16) = ("10.1.0.9".into(), 5_000);
    trial.subscribe_udp();
    trial.pass(500);
    let first = trial.datagrams();
    trial.pass(10_000);
    let second = trial.datagrams();
    assert_eq!((first.len(), second.len()), (1, 1), "one retransmission");
    assert_ne!(first, second, "with a number of its own");
    trial.put(Input::UdpAck {
        ip,
        port,
        push: second[0],
    });
    trial.pass(15_000);
    assert!(trial.datagrams().is_empty(), "an acknowledged one rests");
    trial.pass(10_000);
    trial.outputs.clear();
    trial.register(1);
    assert!(trial.datagrams().is_empty(), "silent for 35 s: forgotten");
    let question = Op::Ask(Question::SubscribersOf { service: service() });
    let nobody = Reply::ServiceClients(Vec::new());
    assert_eq!(trial.ask(None, question), Some(Ok(nobody)));
}

#[test]
fn a_push_that_is_refused_comes_again_until_it_is_taken() {
    let mut trial = Trial::new();
    trial.connect(1);
    let listen = Op::Listen {
        listen: true,
        keys: vec![(config(), None, false)],
        tag: "".into(),
    };
    trial.ask(Some(1), listen);
    let publish = trial.publish("a");
    trial.put(publish);
    let pushed = |trial: &mut Trial| {
        let pushes = trial.outputs.iter().filter_map(|output| match output {
            Output::Push { push, .. } => Some(*push),
            _ => None,
        });
        let pushes: Vec<u64> = pushes.collect();
        trial.outputs.clear();
        pushes
    };
    let first = pushed(&mut trial);
    assert_eq!(first.len(), 1);
    let ack = |push, outcome| Input::Ack {
        conn: ConnId(1),
        push,
        outcome,
    };
    trial.put(ack(first[0], AckOutcome::Failed));
    let mut again = Vec::new();
    for _ in 0..100 {
        trial.pass(100);
        again = pushed(&mut trial);
        if !again.is_empty() {
            break;
        }
    }
    assert_eq!(again.len(), 1, "within 10 s");
    trial.put(ack(again[0], AckOutcome::Done));
    trial.pass(600_000);
    assert_eq!(pushed(&mut trial), Vec::<u64>::new());
}

#[test]
fn what_changes_with_the_tick_of_a_wave_leaves_in_it() {
    let mut trial = Trial::new();
    trial.subscribe_udp();
    trial.pass(5_000);
    trial.register(1);
    trial.register(2);
    trial.outputs.clear();
    let due = trial.node.deadline().expect("the second change waits");
    trial.jump(due - trial.now.mono);
    let op = Op::Register {
        service: service(),
        instance: instance(3),
    };
    let third = trial.request(None, op);
    trial.batch(vec![third, Input::Tick]);
    let sent = trial.datagrams();
    assert_eq!(sent.len(), 1, "of the second and the third");
    trial.put(Input::UdpAck {
        ip: "10.1.0.9".into(),
        port: 5_000,
        push: sent[0],
    });
    trial.pass(5_000);
    assert!(trial.datagrams().is_empty(), "nothing is left to say");
}
