//! Families without labels: each field of these structs is one metric.

use super::text::Exposition;
use super::value::{Counter, Gauge, Histogram};

/// A value that makes a family of its own.
trait Shown {
    fn show(&self, text: &mut Exposition, name: &str, help: &str);
}

impl Shown for Counter {
    fn show(&self, text: &mut Exposition, name: &str, help: &str) {
        text.single(name, "counter", help, self.get());
    }
}

impl Shown for Gauge {
    fn show(&self, text: &mut Exposition, name: &str, help: &str) {
        text.single(name, "gauge", help, self.get());
    }
}

impl Shown for Histogram {
    fn show(&self, text: &mut Exposition, name: &str, help: &str) {
        text.family(name, "histogram", help);
        text.histogram(name, &[], self);
    }
}

macro_rules! families {
    ($( $(#[doc = $about:literal])+ $Name:ident { $( $field:ident: $Kind:ident $name:literal $help:literal; )+ } )+) => { $(
        $(#[doc = $about])+
        #[derive(Debug, Default)]
        pub struct $Name {
            $( #[doc = $help] pub $field: $Kind, )+
        }

        impl $Name {
            pub(super) fn render(&self, text: &mut Exposition) {
                $( self.$field.show(text, $name, $help); )+
            }
        }
    )+ };
}

families! {
    /// Pushes to clients over gRPC and UDP.
    PushMetrics {
        sent: Counter "nacrite_push_sent_total" "Pushes sent to clients, one for each recipient.";
        acked: Counter "nacrite_push_acked_total" "Pushes that clients acknowledged.";
        failed: Counter "nacrite_push_failed_total" "Pushes given up.";
        empty: Counter "nacrite_push_empty_total" "Pushes of a service without instances.";
        pending: Gauge "nacrite_push_pending" "Services whose changes wait to be pushed.";
        cost_sum: Counter "nacrite_push_cost_milliseconds_total" "Time from changes to their acknowledgement, of all pushes.";
        cost_max: Gauge "nacrite_push_cost_milliseconds_max" "The longest of them.";
    }

    /// Consensus.
    RaftMetrics {
        proposals: Counter "nacrite_raft_proposals_total" "Commands proposed.";
        commits: Counter "nacrite_raft_commits_total" "Entries committed.";
        rejected: Counter "nacrite_raft_rejected_total" "Proposals rejected.";
        fsync: Histogram "nacrite_raft_fsync_seconds" "Time of one sync of the log.";
        leader: Gauge "nacrite_raft_leader" "1 on the leader, 0 elsewhere.";
        term: Gauge "nacrite_raft_term" "The term.";
        applied: Gauge "nacrite_raft_applied_index" "Index of the last entry applied.";
    }

    /// The queue of requests into the core.
    QueueMetrics {
        waiting: Gauge "nacrite_queue_requests" "Requests that wait for the core.";
        bytes: Gauge "nacrite_queue_bytes" "Bytes of the requests that wait for the core.";
        refused: Counter "nacrite_queue_refused_total" "Requests refused because the queue was full.";
        batches: Counter "nacrite_core_batches_total" "Batches of inputs that the core handled.";
        inputs: Counter "nacrite_core_inputs_total" "Inputs that the core handled.";
    }

    /// The engine: faults of a module, recordings.
    EngineMetrics {
        dropped: Counter "nacrite_engine_dropped_total" "Inputs dropped because the core's module failed at them.";
        recoveries: Counter "nacrite_engine_recoveries_total" "Times that the core's state was made again after a fault.";
        recorded: Counter "nacrite_record_bytes_total" "Bytes of recordings written.";
        missing: Counter "nacrite_record_missing_batches_total" "Batches missing in the recording because its writer was slow.";
    }

    /// The state store.
    StoreMetrics {
        behind: Gauge "nacrite_store_behind_bytes" "Bytes applied but not yet in the state store.";
        cold_reads: Counter "nacrite_store_cold_reads_total" "Contents read from disk because no cache held them.";
    }

    /// Totals that the core knows, set at each scrape.
    Totals {
        services: Gauge "nacrite_services" "Services.";
        instances: Gauge "nacrite_instances" "Instances.";
        configs: Gauge "nacrite_configs" "Configs.";
        publishers_v1: Gauge "nacrite_naming_http_clients" "HTTP clients with instances, by address and port.";
        publishers_v2: Gauge "nacrite_naming_grpc_publishers" "gRPC connections with instances.";
        subscribers_v1: Gauge "nacrite_naming_udp_subscribers" "UDP clients that subscribe to a service.";
        subscribers_v2: Gauge "nacrite_naming_grpc_subscribers" "gRPC connections that subscribe to a service.";
        listeners_v1: Gauge "nacrite_config_poll_listeners" "Configs listened to by long polls.";
        listeners_v2: Gauge "nacrite_config_grpc_listeners" "Configs listened to over gRPC.";
    }
}
