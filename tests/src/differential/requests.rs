//! Requests that mostly fit what there is, and now and then do not.

use std::sync::Arc;

use nacrite_core::{
    model::{
        BeatTimes, ClusterMetadata, ConfigKey, ConfigType, ContentRef, GrayRule, HealthChecker,
        Instance, InstanceKey, Md5, Metadata, Selector, ServiceKey, ServiceMetadata, Sha256,
        Weight,
    },
    node::{
        input::ConnId,
        op::{CapacityChange, CapacityOf, Op, Publish, Question},
        output::NameForm,
    },
    plugins::PluginModule,
    policies::{PolicyPlugin, PolicyScope},
};

use super::World;

const NAMESPACES: [&str; 3] = ["public", "ns1", "ns2"];
const GROUPS: [&str; 2] = ["DEFAULT_GROUP", "g2"];
const SWITCHES: [(&str, &str); 14] = [
    ("check", "true"),
    ("check", "false"),
    ("pushEnabled", "true"),
    ("pushCacheMillis", "12000"),
    ("pushCacheMillis", "1"),
    ("clientBeatInterval", "4000"),
    ("lightBeatEnabled", "no"),
    ("lightBeatEnabled", "yes"),
    ("healthCheckTimes", "2"),
    ("tcpHealthParams", r#"{"max":3000,"min":500,"factor":0.55}"#),
    ("distroThreshold", "0.1"),
    ("limitedUrlMap", "/a:403"),
    ("masters", "a,b"),
    ("noSuchEntry", "1"),
];

fn text(text: &str) -> Arc<str> {
    Arc::from(text)
}

impl World {
    /// A request, and on which connection it comes.
    pub(super) fn op(&mut self) -> (Option<ConnId>, Op) {
        let conn = self.rng.one(&self.conns).copied();
        let conn = if self.rng.per_mille(4) {
            Some(ConnId(u64::MAX))
        } else {
            conn
        };
        match self.rng.below(1000) {
            0..150 => self.register(conn),
            150..190 => self.batch_register(conn),
            190..240 => self.deregister(conn),
            240..330 => (None, self.beat()),
            330..420 => (None, self.words()),
            420..480 => (None, self.of_service()),
            480..500 => (None, self.of_cluster()),
            500..510 => {
                let (entry, value) = SWITCHES[self.rng.below(SWITCHES.len())];
                let (entry, value) = (text(entry), text(value));
                (None, Op::SetSwitch { entry, value })
            }
            510..560 => (None, self.subscribe_udp()),
            560..630 => (conn, self.subscribe()),
            630..760 => (None, self.of_config()),
            760..820 => (None, self.poll()),
            820..860 => (conn, self.listen()),
            860..880 => (None, self.of_namespace()),
            880..900 => (None, self.lock()),
            900..907 => (None, self.of_policy()),
            907..910 => (None, self.of_plugin()),
            910..940 => (conn, self.fuzzy()),
            _ => (None, Op::Ask(self.question())),
        }
    }

    fn service(&mut self) -> ServiceKey {
        let name = format!("s{}", self.rng.below(8));
        let namespace = self.rng.text(&NAMESPACES);
        ServiceKey::new(namespace, self.rng.text(&GROUPS), &name)
    }

    /// A service that exists, most of the time.
    fn known_service(&mut self) -> ServiceKey {
        if !self.services.is_empty() && !self.rng.per_mille(20) {
            let at = self.rng.below(self.services.len());
            return self.services.keys().nth(at).expect("it is below").clone();
        }
        self.service()
    }

    /// An instance that is shown, most of the time; with whether it is ephemeral.
    fn known_instance(&mut self) -> (ServiceKey, InstanceKey, bool) {
        let service = self.known_service();
        let known = self.services.get(&service);
        let ephemeral = known.is_none_or(|s| s.ephemeral);
        let keys: Vec<InstanceKey> = known
            .map(|s| s.instances.keys().cloned().collect())
            .unwrap_or_default();
        let key = match self.rng.one(&keys) {
            Some(key) => key.clone(),
            None => self.instance_key(),
        };
        (service, key, ephemeral)
    }

    /// One that is shown for sure, if there is any at all in the whole world.
    fn shown_instance(&mut self) -> (ServiceKey, InstanceKey, bool) {
        let full = self
            .services
            .iter()
            .filter(|(_, s)| !s.instances.is_empty());
        let all: Vec<_> = full
            .flat_map(|(key, s)| {
                s.instances
                    .keys()
                    .map(|i| (key.clone(), i.clone(), s.ephemeral))
            })
            .collect();
        match self.rng.one(&all) {
            Some(known) if !self.rng.per_mille(30) => known.clone(),
            _ => self.known_instance(),
        }
    }

    fn instance_key(&mut self) -> InstanceKey {
        let ip = format!("10.0.0.{}", self.rng.below(10));
        let cluster = self.rng.text(&["", "", "c1", "c-2"]);
        InstanceKey::new(&ip, 80 + self.rng.below(2) as u16, cluster)
    }

    fn metadata(&mut self) -> Metadata {
        let mut pairs: Vec<(&str, String)> = Vec::new();
        for key in ["a", "zone", "version"] {
            if self.rng.per_mille(200) {
                pairs.push((key, self.rng.below(3).to_string()));
            }
        }
        if self.rng.per_mille(60) {
            pairs.push((BeatTimes::INTERVAL, "3000".to_owned()));
            pairs.push((BeatTimes::TIMEOUT, "6000".to_owned()));
            pairs.push((BeatTimes::DELETE, "9000".to_owned()));
        }
        if self.rng.per_mille(30) {
            let generator = self.rng.text(&["simple", "snowflake"]);
            pairs.push((BeatTimes::ID_GENERATOR, generator.to_owned()));
        }
        pairs.into_iter().collect()
    }

    fn instance(&mut self, ephemeral: bool) -> Instance {
        let mut key = self.instance_key();
        if self.rng.per_mille(10) {
            key.cluster = text("no_cluster");
        }
        let weight = [1.0, 1.0, 0.0, 2.5, 100.0][self.rng.below(5)];
        Instance {
            key,
            weight: Weight::new(weight).expect("it is in range"),
            healthy: !self.rng.per_mille(50),
            enabled: !self.rng.per_mille(50),
            ephemeral,
            metadata: self.metadata(),
            instance_id: text(""),
        }
    }

    /// The kind that fits a service; another one now and then.
    fn kind(&mut self, service: &ServiceKey) -> bool {
        let fits = match self.services.get(service) {
            Some(known) => known.ephemeral,
            None => self.rng.per_mille(600),
        };
        fits != self.rng.per_mille(15)
    }

    fn register(&mut self, conn: Option<ConnId>) -> (Option<ConnId>, Op) {
        let service = self.service();
        let ephemeral = self.kind(&service);
        let instance = self.instance(ephemeral);
        let conn = conn.filter(|_| self.rng.per_mille(500));
        (conn, Op::Register { service, instance })
    }

    fn batch_register(&mut self, conn: Option<ConnId>) -> (Option<ConnId>, Op) {
        let service = self.service();
        if !self.kind(&service) {
            return self.register(conn);
        }
        let count = self.rng.below(4);
        let instances = (0..count).map(|_| self.instance(true)).collect();
        (conn, Op::BatchRegister { service, instances })
    }

    fn deregister(&mut self, conn: Option<ConnId>) -> (Option<ConnId>, Op) {
        let (service, key, ephemeral) = self.known_instance();
        let conn = conn.filter(|_| self.rng.per_mille(400));
        let op = Op::Deregister {
            service,
            key,
            ephemeral,
        };
        (conn, op)
    }

    fn beat(&mut self) -> Op {
        let (service, key, ephemeral) = self.shown_instance();
        if !ephemeral && !self.rng.per_mille(20) {
            let service = self.service();
            let instance = self.instance(true);
            return if self.kind(&service) {
                let key = instance.key.clone();
                let full = Some(Box::new(instance));
                Op::Beat { service, key, full }
            } else {
                Op::Ask(self.question())
            };
        }
        let full = if self.rng.per_mille(300) {
            let instance = self.instance(true);
            let key = key.clone();
            Some(Box::new(Instance { key, ..instance }))
        } else {
            None
        };
        Op::Beat { service, key, full }
    }

    /// What operators say of instances.
    fn words(&mut self) -> Op {
        let (service, key, ephemeral) = self.shown_instance();
        match self.rng.below(10) {
            0..3 => Op::UpdateInstance {
                service,
                key,
                weight: Weight::new(3.0).expect("it is in range"),
                enabled: self.rng.per_mille(800),
                metadata: self.metadata(),
                ephemeral,
            },
            3..6 => Op::PatchInstance {
                service,
                key,
                weight: Some(Weight::default()).filter(|_| self.rng.per_mille(500)),
                enabled: Some(true).filter(|_| self.rng.per_mille(500)),
                metadata: Some(self.metadata()),
            },
            6..8 => Op::MetadataBatch {
                service,
                persistent: !ephemeral,
                remove: self.rng.per_mille(400),
                metadata: self.metadata(),
                instances: Some(vec![key]).filter(|_| self.rng.per_mille(600)),
            },
            _ => {
                let unchecked = self.unchecked.iter().next().cloned();
                match unchecked {
                    Some((service, cluster)) if !self.rng.per_mille(100) => Op::SetHealth {
                        key: self.member(&service, &cluster).unwrap_or(key),
                        service,
                        healthy: self.rng.per_mille(500),
                    },
                    _ if self.rng.per_mille(200) => Op::SetHealth {
                        service,
                        key,
                        healthy: true,
                    },
                    _ => Op::Ask(self.question()),
                }
            }
        }
    }

    /// An instance of a cluster.
    fn member(&self, service: &ServiceKey, cluster: &Arc<str>) -> Option<InstanceKey> {
        let mut keys = self.services.get(service)?.instances.keys().rev();
        keys.find(|key| key.cluster == *cluster).cloned()
    }

    fn of_service(&mut self) -> Op {
        let metadata = ServiceMetadata {
            ephemeral: self.rng.per_mille(500),
            protect_threshold: [0.0, 0.3, 0.8][self.rng.below(3)],
            selector: if self.rng.per_mille(300) {
                Selector::Label {
                    expression: text("CONSUMER.label.zone = PROVIDER.label.zone"),
                }
            } else {
                Selector::None
            },
            extend: self.metadata(),
            ..ServiceMetadata::default()
        };
        match self.rng.below(10) {
            0..3 => {
                let mut service = self.service();
                // One that is not there, if a few tries find it.
                for _ in 0..4 {
                    if self.services.contains_key(&service) {
                        service = self.service();
                    }
                }
                Op::CreateService { service, metadata }
            }
            3..7 => Op::UpdateService {
                service: self.known_service(),
                metadata,
            },
            _ => {
                let empty = self.services.iter().filter(|(_, s)| s.instances.is_empty());
                let empty: Vec<ServiceKey> = empty.map(|(key, _)| key.clone()).collect();
                let service = match self.rng.one(&empty) {
                    Some(service) if !self.rng.per_mille(50) => service.clone(),
                    _ if self.rng.per_mille(200) => self.known_service(),
                    _ => return Op::Ask(self.question()),
                };
                Op::DeleteService { service }
            }
        }
    }

    fn of_cluster(&mut self) -> Op {
        let service = self.known_service();
        let cluster = text(self.rng.text(&["DEFAULT", "c1"]));
        let checker = match self.rng.below(5) {
            0 => HealthChecker::Tcp,
            1 => HealthChecker::Http {
                path: text("/up"),
                headers: text("a:b"),
                expected_code: 200,
            },
            2 => HealthChecker::Mysql {
                user: text("u"),
                pwd: text("p"),
                cmd: text("select 1"),
            },
            _ => HealthChecker::None,
        };
        let described = (service.clone(), cluster.clone());
        if checker == HealthChecker::None {
            self.unchecked.insert(described);
        } else {
            self.unchecked.remove(&described);
        }
        Op::UpdateCluster {
            service,
            cluster,
            metadata: ClusterMetadata {
                check_port: 81,
                use_instance_port: self.rng.per_mille(500),
                checker,
                extend: self.metadata(),
            },
        }
    }

    fn subscribe_udp(&mut self) -> Op {
        let agents = [
            "Nacos-Java-Client:v1.4.8",
            "Nacos-Go-Client:v1.0.1",
            "curl/8",
        ];
        Op::SubscribeUdp {
            service: self.known_service(),
            clusters: text(self.rng.text(&["", "c1"])),
            ip: text(self.rng.text(&["10.1.0.1", "10.1.0.2"])),
            port: 50_000 + self.rng.below(3) as u16,
            agent: text(self.rng.text(&agents)),
            app: text("unknown"),
            names: [NameForm::Grouped, NameForm::GroupedOld, NameForm::Plain][self.rng.below(3)],
        }
    }

    fn subscribe(&mut self) -> Op {
        let service = self.known_service();
        if self.rng.per_mille(200) {
            return Op::Unsubscribe { service };
        }
        Op::Subscribe {
            service,
            clusters: text(self.rng.text(&["", "", "c1"])),
            app: text("shop"),
        }
    }

    fn config(&mut self) -> ConfigKey {
        let name = format!("c{}", self.rng.below(7));
        let namespace = self.rng.text(&NAMESPACES);
        ConfigKey::new(namespace, self.rng.text(&GROUPS), &name)
    }

    fn known_config(&mut self) -> ConfigKey {
        if !self.configs.is_empty() && !self.rng.per_mille(30) {
            let at = self.rng.below(self.configs.len());
            return self.configs.keys().nth(at).expect("it is below").clone();
        }
        self.config()
    }

    fn md5(&mut self) -> Md5 {
        Md5::of(&[self.rng.below(3) as u8])
    }

    fn held(&self, key: &ConfigKey) -> Option<Md5> {
        let formal = self.configs.get(key)?.formal.as_ref();
        formal.map(|version| version.content.md5)
    }

    /// What a caller holds of a config: most of the time what there is.
    fn holding(&mut self) -> (ConfigKey, Option<Md5>) {
        let key = self.known_config();
        let md5 = if self.rng.per_mille(900) {
            self.held(&key)
        } else {
            Some(self.md5())
        };
        (key, md5)
    }

    fn of_config(&mut self) -> Op {
        if self.rng.per_mille(30) {
            let of = if self.rng.per_mille(500) {
                CapacityOf::Namespace(text(self.rng.text(&NAMESPACES)))
            } else {
                CapacityOf::Group(text(self.rng.text(&GROUPS)))
            };
            let change = CapacityChange {
                quota: Some(self.rng.below(8) as u32),
                max_size: Some(2_000),
                ..CapacityChange::default()
            };
            return Op::SetCapacity { of, change };
        }
        // Quotas are small: what is there is changed, and goes when there is much.
        let full = self.configs.len() >= 14;
        if self.rng.per_mille(if full { 400 } else { 120 }) {
            let key = self.known_config();
            let grays = self.configs.get(&key).map(|item| item.grays.clone());
            let gray = grays.and_then(|all| self.rng.one(&all).map(|gray| gray.name.clone()));
            let gray = gray.filter(|_| self.rng.per_mille(100));
            let formal = self.configs.get(&key).and_then(|item| item.formal.as_ref());
            if let Some(revision) = formal.map(|v| v.content.index)
                && self.rng.per_mille(200)
            {
                // Now and then one that it has not.
                let revision = revision + u64::from(self.rng.per_mille(200));
                return Op::RemoveRevision { key, revision };
            }
            return Op::RemoveConfig { key, gray };
        }
        let mut key = if self.rng.per_mille(if full { 100 } else { 300 }) {
            self.config()
        } else {
            self.known_config()
        };
        let gray = match self.rng.below(10) {
            0 => Some(GrayRule::Beta {
                ips: text("10.1.0.1,10.1.0.2"),
            }),
            1 => Some(GrayRule::Tag {
                tag: text(&format!("t{}", self.rng.below(20))),
            }),
            _ => None,
        };
        // Gray versions gather at one config until there are too many.
        let grayest = self.configs.iter().max_by_key(|(_, item)| item.grays.len());
        if let (Some(_), Some((grayest, _))) = (&gray, grayest) {
            key = grayest.clone();
        }
        let held = self.held(&key).map(|md5| Arc::from(md5.hex()));
        let cas = match self.rng.below(40) {
            0 => Some(text("no md5")),
            1..8 if gray.is_none() => held,
            _ => None,
        };
        let bytes = if self.rng.per_mille(8) { 5_000 } else { 100 };
        Op::Publish(Box::new(Publish {
            content: ContentRef {
                index: 0,
                md5: self.md5(),
                bytes,
            },
            kind: ConfigType::ALL[self.rng.below(ConfigType::ALL.len())].0,
            app: text("shop"),
            desc: text("d"),
            usage: text(""),
            effect: text(""),
            schema: text(""),
            tags: text(self.rng.text(&["", "a,b"])),
            encrypted_data_key: text(""),
            gray,
            cas,
            create_only: self.rng.per_mille(15),
            user: text(""),
            ip: text(""),
            key,
        }))
    }

    fn poll(&mut self) -> Op {
        let count = 1 + self.rng.below(6) + usize::from(self.rng.per_mille(10));
        let keys = (0..count).map(|_| self.holding()).collect();
        let wait_ms = if self.rng.per_mille(100) {
            0
        } else {
            self.rng.below(30_000) as u64
        };
        let tag = text(self.rng.text(&["", "", "t1"]));
        Op::Poll { keys, wait_ms, tag }
    }

    fn listen(&mut self) -> Op {
        let count = 1 + self.rng.below(4);
        let keys = (0..count)
            .map(|_| {
                let (key, md5) = self.holding();
                let blank = &*key.namespace == "public" && self.rng.per_mille(500);
                (key, md5, blank)
            })
            .collect();
        Op::Listen {
            listen: !self.rng.per_mille(250),
            keys,
            tag: text(self.rng.text(&["", "t1"])),
        }
    }

    fn of_namespace(&mut self) -> Op {
        let known: Vec<Arc<str>> = self.namespaces.iter().cloned().collect();
        let one = self.rng.one(&known).cloned();
        match (self.rng.below(4), one) {
            (0, Some(id)) => Op::UpdateNamespace {
                id,
                name: text("renamed"),
                desc: text("d"),
            },
            (1 | 2, Some(id)) => Op::DeleteNamespace { id },
            _ => Op::CreateNamespace {
                id: text(self.rng.text(&["", "ns1", "ns2", "ns3"])),
                name: text("n"),
                desc: text("d"),
            },
        }
    }

    fn lock(&mut self) -> Op {
        let key = text(&format!("l{}", self.rng.below(9)));
        let acquire = !self.locks.contains(&key) || self.rng.per_mille(100);
        if acquire {
            self.locks.insert(key.clone());
        } else {
            self.locks.remove(&key);
        }
        Op::Lock {
            key,
            kind: text("NACOS_LOCK"),
            acquire,
            expires_ms: [-1, 500, 40_000][self.rng.below(3)],
        }
    }

    fn of_plugin(&mut self) -> Op {
        let name = text("p");
        if self.rng.per_mille(200) {
            return Op::RemovePlugin { name };
        }
        let bytes = [self.rng.below(3) as u8];
        let content = ContentRef {
            index: 0,
            md5: Md5::of(&bytes),
            bytes: 1,
        };
        let digest = Sha256::of(&bytes);
        Op::PutPlugin {
            name,
            module: PluginModule { digest, content },
        }
    }

    fn of_policy(&mut self) -> Op {
        let scope = if self.rng.per_mille(200) {
            PolicyScope::Namespace(text(self.rng.text(&NAMESPACES)))
        } else {
            PolicyScope::Service(self.known_service())
        };
        let expected = [None, None, Some(0), Some(1)][self.rng.below(4)];
        if self.rng.per_mille(250) {
            return Op::RemovePolicy { scope, expected };
        }
        let plugin = self.rng.per_mille(200).then(|| PolicyPlugin {
            name: text("p"),
            digest: text(""),
        });
        let document = match plugin {
            Some(_) => text(r#"{"rule":"wasm:p"}"#),
            None => text(r#"{"rule":"random"}"#),
        };
        Op::PutPolicy {
            scope,
            document,
            plugin,
            expected,
        }
    }

    fn fuzzy(&mut self) -> Op {
        let config = self.rng.per_mille(500);
        let patterns = [
            "public>>DEFAULT_GROUP>>*",
            "public>>*>>*",
            "ns1>>*>>*1",
            "ns2>>g*>>*",
            "no pattern",
            "public>>g2>>s1",
        ];
        // The last two are rarer.
        let among = if self.rng.per_mille(150) { 6 } else { 4 };
        let known = (0..self.rng.below(4))
            .map(|_| {
                if config {
                    text(&self.known_config().to_string())
                } else {
                    text(&self.known_service().fuzzy())
                }
            })
            .collect();
        Op::FuzzyWatch {
            config,
            pattern: text(patterns[self.rng.below(among)]),
            watch: !self.rng.per_mille(300),
            known,
            initializing: self.rng.per_mille(500),
        }
    }

    fn question(&mut self) -> Question {
        let ip = text(self.rng.text(&["10.1.0.1", "10.1.0.2", "10.1.0.3"]));
        match self.rng.below(11) {
            0 => Question::Subscribers {
                namespace: text(self.rng.text(&NAMESPACES)),
                group: String::new(),
                name: self.rng.text(&["", "s1"]).to_owned(),
                exact: self.rng.per_mille(300),
            },
            1 => Question::ListenersOf {
                key: self.known_config(),
            },
            2 => Question::ListenedBy {
                ip,
                namespace: Some(text("public")).filter(|_| self.rng.per_mille(500)),
            },
            3 => Question::Clients,
            4 => {
                let (_, key, ephemeral) = self.shown_instance();
                let id = format!("{}:{}#{ephemeral}", key.ip, key.port);
                Question::Client { id: text(&id) }
            }
            5 => Question::PublishersOf {
                service: self.known_service(),
            },
            6 => Question::SubscribersOf {
                service: self.known_service(),
            },
            7 => Question::PushState {
                reset: self.rng.per_mille(100),
            },
            8 => Question::Totals,
            9 => Question::Uuid,
            _ => Question::Connections,
        }
    }
}
