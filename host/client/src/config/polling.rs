//! Listening over HTTP: one long poll at a time, of all that a task has.
//!
//! A poll of something new does not wait at the server; what rings meanwhile ends one that does, so that nothing new waits for
//! an old poll. After a failure there is a penalty of 2 s.

use std::pin::pin;

use http::Method;

use super::{ConfigName, listening::Listening};
use crate::{Error, v1::V1};

/// Between the parts of a config's name.
const WORD: char = '\u{2}';
/// After each config.
const LINE: char = '\u{1}';

/// The text that lists what is polled for.
fn listed(polled: &[(ConfigName, String)], tenant: &str) -> String {
    let mut text = String::new();
    for ((group, data_id), md5) in polled {
        text.extend([&**data_id, "\u{2}", &**group, "\u{2}", md5]);
        if !tenant.is_empty() {
            text.push(WORD);
            text.push_str(tenant);
        }
        text.push(LINE);
    }
    text
}

/// The names in an answer.
fn changed(answer: &str) -> Vec<ConfigName> {
    // The answer is encoded as the name of a form's one pair is.
    let decoded = form_urlencoded::parse(answer.trim().as_bytes()).next();
    let text = decoded
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split(WORD);
        let (data_id, group) = (words.next()?, words.next()?);
        Some((group.into(), data_id.into()))
    };
    text.split(LINE).filter_map(line).collect()
}

impl Listening {
    /// Polls until the task ends.
    pub(super) async fn poll_on(&self, v1: &V1) {
        loop {
            self.look_at_failover();
            let (polled, fresh) = self.to_poll();
            if polled.is_empty() {
                self.rung().await;
                continue;
            }
            let answered = {
                let mut poll = pin!(self.poll(v1, &polled, fresh));
                loop {
                    tokio::select! {
                        answered = &mut poll => break Some(answered),
                        () = self.rung(), if !fresh => break None,
                        () = tokio::time::sleep(self.settings.listen_interval) => {
                            if self.look_at_failover() {
                                break None;
                            }
                        }
                    }
                }
            };
            let Some(answered) = answered else { continue };
            let done = match answered {
                Ok(changed) => self.refresh_all(&changed).await.map(|()| changed),
                Err(error) => Err(error),
            };
            match done {
                Ok(_) => self.known(polled.into_iter().map(|(name, _)| name)),
                Err(error) => {
                    tracing::debug!("configs cannot be polled: {error}");
                    tokio::time::sleep(self.settings.retry_penalty).await;
                }
            }
        }
    }

    async fn poll(
        &self,
        v1: &V1,
        polled: &[(ConfigName, String)],
        fresh: bool,
    ) -> Result<Vec<ConfigName>, Error> {
        let hold = self.settings.poll_timeout;
        let text = listed(polled, self.settings.tenant());
        let millis = hold.as_millis().to_string();
        let mut headers = vec![("Long-Pulling-Timeout", &*millis)];
        if fresh {
            headers.push(("Long-Pulling-Timeout-No-Hangup", "true"));
        }
        let pairs = [("Listening-Configs", &*text)];
        let path = "/nacos/v1/cs/configs/listener";
        let asked = v1.ask_within(Method::POST, path, &pairs, &headers, hold * 3 / 2);
        Ok(changed(&asked.await?.ok()?))
    }

    async fn refresh_all(&self, names: &[ConfigName]) -> Result<(), Error> {
        for name in names {
            self.refresh(name).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_written_and_answers_read_as_the_protocol_has_it() {
        let one = |md5: &str| (("g".into(), "d".into()), md5.to_owned());
        let polled = vec![one("m"), one("")];
        assert_eq!(listed(&polled, ""), "d\u{2}g\u{2}m\u{1}d\u{2}g\u{2}\u{1}");
        assert_eq!(listed(&polled[..1], "t"), "d\u{2}g\u{2}m\u{2}t\u{1}");
        let names: Vec<ConfigName> = vec![("g".into(), "d e".into()), ("h".into(), "f".into())];
        assert_eq!(changed("d+e%02g%01f%02h%02t%01\n"), names);
        assert!(changed("").is_empty());
    }
}
