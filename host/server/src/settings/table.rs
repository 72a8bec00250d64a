//! The one table of settings: names, types, defaults, ranges and texts. Structs, help, flags, variables, `--print-config`
//! and the checks are all made from it, so that nothing is said twice.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::value::{ByteSize, Compat, EngineKind, LogFormat, LogLevel, Origins, Value};

/// What somebody wrote for a setting.
#[derive(Clone, Copy, Debug)]
pub(super) enum Written<'a> {
    Text(&'a str),
    Toml(&'a toml::Value),
}

/// One row of the table.
pub struct Key {
    /// Name in the file, with its section: `http.max_url`.
    pub name: &'static str,
    /// What it is for: sentences, each beginning with a space.
    pub(super) doc: &'static str,
    pub(super) form: &'static str,
    pub(super) range: fn() -> Option<String>,
    pub(super) set: fn(&mut Settings, Written<'_>) -> Result<(), String>,
    pub(super) text: fn(&Settings) -> String,
    pub(super) toml: fn(&Settings) -> toml::Value,
}

fn read<V: Value + PartialOrd>(
    written: Written<'_>,
    range: Option<RangeInclusive<V>>,
) -> Result<V, String> {
    let value = read_free(written)?;
    match range {
        Some(range) if !range.contains(&value) => {
            Err(format!("{} is out of range", value.to_text()))
        }
        _ => Ok(value),
    }
}

fn read_free<V: Value>(written: Written<'_>) -> Result<V, String> {
    match written {
        Written::Text(text) => V::from_text(text),
        Written::Toml(value) => V::from_toml(value),
    }
}

fn range_text<V: Value>(range: &RangeInclusive<V>) -> Option<String> {
    Some(format!(
        "{} to {}",
        range.start().to_text(),
        range.end().to_text()
    ))
}

macro_rules! range_of {
    ($type:ty) => {
        || None
    };
    ($type:ty, $range:expr) => {
        || range_text::<$type>(&$range)
    };
}

macro_rules! read_as {
    ($written:expr) => {
        read_free($written)?
    };
    ($written:expr, $range:expr) => {
        read($written, Some($range))?
    };
}

macro_rules! sections {
    ($(
        $(#[doc = $section_doc:literal])+
        $section:ident $prefix:literal $Section:ident {
            $( $(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr $(, in $range:expr)?; )+
        }
    )+) => {
        /// Every setting of a server, checked.
        #[derive(Clone, Debug, PartialEq, Default)]
        pub struct Settings {
            $( $(#[doc = $section_doc])+ pub $section: $Section, )+
        }

        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Section {
                $( $(#[doc = $doc])+ pub $name: $type, )+
            }

            impl Default for $Section {
                fn default() -> Self {
                    $Section { $( $name: $default, )+ }
                }
            }
        )+

        /// Sections in their order: prefix of their keys, and what they are about.
        pub(super) const SECTIONS: &[(&str, &str)] = &[ $( ($prefix, concat!($($section_doc),+)), )+ ];

        /// Every setting, section by section.
        pub const KEYS: &[Key] = &[ $( $(
            Key {
                name: concat!($prefix, stringify!($name)),
                doc: concat!($($doc),+),
                form: <$type as Value>::FORM,
                range: range_of!($type $(, $range)?),
                set: |settings, written| {
                    settings.$section.$name = read_as!(written $(, $range)?);
                    Ok(())
                },
                text: |settings| settings.$section.$name.to_text(),
                toml: |settings| settings.$section.$name.to_toml(),
            },
        )+ )+ ];
    };
}

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

sections! {
    /// The server as a whole.
    server "" Server {
        /// Folder of everything that must last; made when it is missing.
        data: PathBuf = PathBuf::from("data");
        /// Address to listen on.
        bind: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
        /// Port of HTTP; gRPC listens at port + 1000, peers at port + 1001.
        port: u16 = 8848, in 1..=64_534;
        /// Which line of the reference old API generations answer like.
        compat: Compat = Compat::All;
        /// What runs the core.
        engine: EngineKind = EngineKind::Native;
        /// Whether every page of both files is verified before the data is served.
        verify_data: bool = true;
        /// Threads for connections and requests; 0 means one for each processor.
        workers: usize = 0, in 0..=256;
    }

    /// The core as WebAssembly.
    core "core." CoreModule {
        /// A module to run instead of the one that the program carries.
        module: PathBuf = PathBuf::new();
        /// Bytes of memory that the module may have; at four fifths, what needs more is answered as an overload.
        max_memory: ByteSize = ByteSize::gib(2), in ByteSize::mib(16)..=ByteSize::mib(4_095);
        /// CPU time that one batch of inputs may take; beyond it the input at fault is dropped.
        cpu_time_ms: Duration = secs(10), in ms(200)..=secs(600);
        /// Time after which the state is kept, so that it can be made again after a fault.
        checkpoint_ms: Duration = secs(30), in ms(100)..=secs(3_600);
        /// Bytes of inputs after which it is kept.
        checkpoint_bytes: ByteSize = ByteSize::mib(64), in ByteSize::mib(1)..=ByteSize::gib(1);
    }

    /// The recording of the core's inputs.
    record "record." Record {
        /// Folder to record to; empty records nothing. The flag --record says the same.
        dir: PathBuf = PathBuf::new();
        /// Bytes of a file, after which another begins.
        file_bytes: ByteSize = ByteSize::mib(64), in ByteSize::mib(1)..=ByteSize::gib(4);
        /// Time after which another begins.
        file_age_ms: Duration = secs(600), in secs(1)..=secs(86_400);
        /// Files that are kept.
        files: usize = 16, in 1..=100_000;
        /// Bytes that may wait for the disk; beyond that the recording has a gap.
        buffer: ByteSize = ByteSize::mib(16), in ByteSize::kib(64)..=ByteSize::gib(1);
    }

    /// HTTP connections and requests.
    http "http." Http {
        /// Open connections; one more is answered 503 and closed.
        max_connections: usize = 50_000, in 1..=1_000_000;
        /// Open connections of one address; one more is answered 503 and closed.
        max_connections_per_address: usize = 30_000, in 1..=1_000_000;
        /// Bytes of a URL (path and query); more is answered 414.
        max_url: ByteSize = ByteSize::kib(512), in ByteSize::kib(8)..=ByteSize::mib(16);
        /// Bytes of a request head beside its URL; more is answered 431.
        max_head: ByteSize = ByteSize::kib(64), in ByteSize::kib(4)..=ByteSize::mib(1);
        /// Header lines of a request; more is answered 431.
        max_headers: u32 = 100, in 10..=1_000;
        /// Time from the first byte of a request head to its last, then the connection is closed.
        head_timeout_ms: Duration = secs(10), in ms(100)..=secs(300);
        /// Time without a request after which a connection is closed.
        idle_timeout_ms: Duration = secs(75), in ms(100)..=secs(86_400);
        /// Time for a whole request body, then 408.
        body_timeout_ms: Duration = secs(60), in ms(100)..=secs(3_600);
        /// Time in which a client must take a part of an answer, then its connection is closed.
        write_timeout_ms: Duration = secs(30), in ms(100)..=secs(3_600);
        /// Bytes of one request body; more is answered 413.
        max_body: ByteSize = ByteSize::mib(40), in ByteSize::kib(64)..=ByteSize::gib(1);
        /// Bytes of all request bodies and long URLs under way together; beyond that, 503.
        max_body_memory: ByteSize = ByteSize::mib(256), in ByteSize::mib(1)..=ByteSize::gib(64);
        /// Time for requests under way when the server stops.
        shutdown_timeout_ms: Duration = secs(10), in ms(0)..=secs(300);
        /// Origins whose pages may read the API's answers in a browser (CORS); * lets all of them.
        cors_origins: Origins = Origins::default();
    }

    /// Long polls.
    poll "poll." Poll {
        /// Polls parked at the same time; one more is answered as an overload.
        max_parked: usize = 100_000, in 1..=1_000_000;
        /// Configs that one poll may listen to.
        max_keys: usize = 10_000, in 1..=100_000;
    }

    /// The queue of requests into the core; when it is full, requests are answered as an overload.
    queue "queue." Queue {
        /// Requests that may wait.
        max_count: usize = 65_536, in 16..=1_000_000;
        /// Bytes of all requests that wait.
        max_bytes: ByteSize = ByteSize::mib(128), in ByteSize::mib(16)..=ByteSize::gib(16);
        /// Publishes under way, up to their sync; one more is answered as an overload.
        max_publishes: usize = 512, in 16..=1_000_000;
    }

    /// Requests that are refused because there is more to do than can be done.
    admission "admission." Admission {
        /// Time that a request may have to wait for a worker; while even the shortest wait is longer, some are answered as an overload.
        target_wait_ms: Duration = ms(10), in ms(1)..=secs(60);
        /// Time that such an answer is held, so that who gets it does not come again at once.
        hold_ms: Duration = ms(500), in ms(0)..=secs(10);
    }

    /// Configs.
    config "config." Config {
        /// Namespaces.
        max_namespaces: usize = 10_000, in 1..=1_000_000;
        /// Characters of one content.
        max_content: usize = 10 << 20, in 1..=100 << 20;
        /// Days that the history of a config is kept.
        history_retention_days: u32 = 30, in 1..=3_650;
    }

    /// Capacity of namespaces and groups, as the reference names it.
    capacity "capacity." Capacity {
        /// Whether a publish beyond a quota is refused.
        is_capacity_limit_check: bool = false;
        /// Configs of the whole cluster.
        default_cluster_quota: u32 = 100_000, in 1..=100_000_000;
        /// Configs of one group.
        default_group_quota: u32 = 200, in 1..=100_000_000;
        /// Configs of one namespace.
        default_tenant_quota: u32 = 200, in 1..=100_000_000;
        /// Bytes of one content, checked only together with the quotas.
        default_max_size: ByteSize = ByteSize::kib(100), in ByteSize(1)..=ByteSize::mib(100);
    }

    /// Load-balancing plugins.
    plugins "plugins." Plugins {
        /// Bytes of one module.
        max_module: ByteSize = ByteSize::mib(1), in ByteSize::kib(1)..=ByteSize::mib(4);
    }

    /// Pushes of service changes.
    push "push." Push {
        /// Time within which changes of one service are gathered in a storm; a lone change leaves at once.
        delay_ms: Duration = ms(500), in ms(0)..=secs(60);
        /// Whether clients of the 1.x line are pushed to over UDP.
        udp: bool = true;
        /// Time to wait for the acknowledgement of a datagram.
        udp_ack_timeout_ms: Duration = secs(10), in ms(100)..=secs(60);
    }

    /// gRPC connections.
    grpc "grpc." Grpc {
        /// Bytes of one message.
        max_message: ByteSize = ByteSize::mib(10), in ByteSize::kib(64)..=ByteSize::mib(256);
        /// Open connections.
        max_connections: usize = 50_000, in 1..=1_000_000;
        /// Open connections of one address.
        max_connections_per_address: usize = 30_000, in 1..=1_000_000;
        /// Requests of a connection that may wait for its setup.
        max_early_requests: usize = 64, in 0..=10_000;
        /// Time that such requests wait.
        early_request_timeout_ms: Duration = secs(3), in ms(0)..=secs(30);
        /// Time in which a connection must be set up, then it is closed: clients do it right after they connect.
        setup_timeout_ms: Duration = secs(60), in secs(1)..=secs(3_600);
        /// Time without a message after which a client is asked whether it lives.
        idle_timeout_ms: Duration = secs(20), in secs(1)..=secs(3_600);
        /// Time that a stream may refuse to be written, then it is closed.
        write_timeout_ms: Duration = secs(300), in secs(1)..=secs(3_600);
        /// Configs that one connection may listen to.
        max_listens: usize = 100_000, in 1..=10_000_000;
        /// Locks held by all clients together.
        max_locks: usize = 100_000, in 0..=10_000_000;
        /// Patterns that are watched for names on this server.
        max_fuzzy_patterns: usize = 20, in 0..=100_000;
        /// Names that one pattern may match.
        max_fuzzy_matches: usize = 500, in 1..=1_000_000;
    }

    /// The log and the state on disk.
    store "store." Store {
        /// Time after which written state is made durable; a start replays at most that much.
        sync_interval_ms: Duration = secs(1), in ms(10)..=secs(60);
        /// Bytes of written state after which it is made durable.
        sync_bytes: ByteSize = ByteSize::mib(16), in ByteSize::mib(1)..=ByteSize::gib(1);
        /// Bytes that the state store may be behind; beyond that, writes are answered as an overload.
        max_behind: ByteSize = ByteSize::mib(64), in ByteSize::mib(16)..=ByteSize::gib(4);
    }

    /// Memory for what was read or written lately.
    cache "cache." Cache {
        /// Pages of the log.
        log: ByteSize = ByteSize::mib(4), in ByteSize::mib(1)..=ByteSize::gib(16);
        /// Pages of the state.
        state: ByteSize = ByteSize::mib(16), in ByteSize::mib(1)..=ByteSize::gib(64);
        /// Contents of configs; given back when hardly any is read for 10 s.
        content: ByteSize = ByteSize::mib(64), in ByteSize::mib(1)..=ByteSize::gib(64);
    }

    /// The server's log of itself, written to standard error.
    log "log." Log {
        /// How much is logged.
        level: LogLevel = LogLevel::Info;
        /// How a line looks.
        format: LogFormat = LogFormat::Full;
        /// Lines that may wait to be written; further ones are dropped and counted.
        buffer_lines: usize = 8_192, in 16..=1_000_000;
    }
}
