//! Long polls through the whole node.

use super::*;

#[test]
fn a_publish_wakes_a_parked_poll_and_only_one_that_differs() {
    let mut trial = Trial::new();
    let poll = |trial: &mut Trial, md5| {
        let keys = vec![(config(), md5)];
        trial.ask(
            None,
            Op::Poll {
                keys,
                wait_ms: 30_000,
                tag: "".into(),
            },
        )
    };
    assert_eq!(poll(&mut trial, None), None);
    let parked = trial.id;
    let publish = trial.publish("a");
    trial.put(publish);
    assert_eq!(
        trial.answer(trial.id),
        Some(Ok(Reply::Published { revision: 1 }))
    );
    let woken = Reply::Woken {
        position: 0,
        key: config(),
    };
    assert_eq!(trial.answer(parked), Some(Ok(woken.clone())));
    assert_eq!(
        poll(&mut trial, None),
        Some(Ok(woken)),
        "what differs already is answered at once"
    );
    assert_eq!(poll(&mut trial, Some(Md5::of(b"a"))), None);
    let parked = trial.id;
    let publish = trial.publish("a");
    trial.put(publish);
    assert_eq!(trial.answer(parked), None, "the same content again");
    trial.pass(30_000);
    assert_eq!(trial.answer(parked), Some(Ok(Reply::Changed(Vec::new()))));
}
