//! Shows where the calls of a service would go: `cargo run -p nacrite-client --features plugins --example picks -- orders`.
//!
//! Every second it makes a thousand picks and prints each instance's share with the rule in force. It calls nobody, so
//! every pick counts as a request that ended well at once. Ends with Ctrl-C.

use std::{collections::BTreeMap, error::Error, time::Duration};

use nacrite_client::{Client, Hints, Settings};
use nacrite_core::balance::Outcome;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let service = arguments.next().ok_or("usage: picks SERVICE [HOST:PORT]")?;
    let server = arguments.next().unwrap_or("127.0.0.1:8848".to_owned());
    let client = Client::start(Settings::new(server)).await?;
    let balancing = client.balancing();
    loop {
        let mut shares = BTreeMap::<String, u32>::new();
        for _ in 0..1_000 {
            match balancing.choose("", &service, Hints::default()).await {
                Ok(choice) => {
                    *shares.entry(choice.address().to_owned()).or_default() += 1;
                    choice.finish(Outcome::Success);
                }
                Err(why) => *shares.entry(why.to_string()).or_default() += 1,
            }
        }
        let rule = balancing.policy("", &service).await?.rule;
        let shown = match balancing.plugin("", &service).await? {
            Some(plugin) if plugin.suspended => format!("{rule} (suspended)"),
            Some(plugin) => format!("{rule} ({})", &plugin.digest[..8]),
            None => rule,
        };
        let shares: Vec<String> = shares.iter().map(|(to, n)| format!("{to} {n}")).collect();
        println!("{shown}: {}", shares.join(", "));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
