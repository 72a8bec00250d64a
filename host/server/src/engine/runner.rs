//! Runs an engine for the drive: hands it batches, and contains the faults of a module.
//!
//! Outputs leave only when their whole batch is handled. So after a fault nothing of the batch was given out: the state
//! is made again from the checkpoint and the batches since (whose outputs are compared with what was given out, and
//! thrown away), the input at fault is left out, and the rest of its batch is handled as if it had not come.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nacrite_core::node::{
    NodeSettings,
    input::{Input, Now},
    output::Output,
    reply::Refusal,
};

use crate::record::Recorder;

use super::{
    Batch, Checkpoints, Core, CoreError, Engine, Fault, Image, Journal, Memory,
    journal::{Base, Entry},
};

/// Why the node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Stopped(pub String);

/// What was done about faults, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Inputs that were dropped.
    pub dropped: u64,
    /// Times that the state was made again.
    pub recoveries: u64,
    /// The longest of these.
    pub longest: Duration,
    /// Checkpoints taken.
    pub checkpoints: u64,
    /// The longest of these.
    pub longest_checkpoint: Duration,
}

/// Told of every fault: what was dropped, and how to see it again.
pub trait FaultLog: Send {
    /// An input was at fault. The journal leads to the state before it. Where the recording is that shows it, or why
    /// there is none.
    fn fault(&mut self, journal: &Journal, input: &(Now, Input)) -> String;
}

/// An engine, and what is kept to go on after its faults.
pub struct Runner {
    core: Core,
    engine: Box<dyn Engine>,
    /// What the state can be made of again; a linked core has it only while another takes over from it.
    journal: Option<Journal>,
    checkpoints: Checkpoints,
    /// Another engine reads the journal: no checkpoint shortens it.
    shadowed: bool,
    deadline: Option<u64>,
    faults: Faults,
    log: Option<Box<dyn FaultLog>>,
    recorder: Option<Recorder>,
    /// The core before the last change.
    previous: Option<Core>,
}

impl Runner {
    /// Of a new node.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub fn start(
        core: Core,
        settings: &NodeSettings,
        checkpoints: Checkpoints,
    ) -> Result<Self, CoreError> {
        let engine = core.start(settings)?;
        let mut runner = Self::of(core, engine);
        runner.checkpoints = checkpoints;
        if runner.core.is_contained() {
            runner.journal = Some(Journal::new(Base::New(Arc::new(settings.clone()))));
        }
        Ok(runner)
    }

    /// Of an engine whose faults are not contained.
    #[must_use]
    pub fn of(core: Core, engine: Box<dyn Engine>) -> Self {
        Self {
            core,
            engine,
            journal: None,
            checkpoints: Checkpoints::default(),
            shadowed: false,
            deadline: None,
            faults: Faults::default(),
            log: None,
            recorder: None,
            previous: None,
        }
    }

    /// Names who is told of faults.
    pub fn tell(&mut self, log: Box<dyn FaultLog>) {
        self.log = Some(log);
    }

    /// Records every input from the next batch on; or no longer.
    pub fn record(&mut self, recorder: Option<Recorder>) {
        self.recorder = recorder;
    }

    /// Bytes recorded, and batches that are missing in the recording.
    #[must_use]
    pub fn recorded(&self) -> (u64, u64) {
        self.recorder.as_ref().map_or((0, 0), Recorder::counts)
    }

    /// Handles a batch; what the node asks for.
    ///
    /// # Errors
    /// The node must stop: a fault in what cannot be dropped, or a state that cannot be made again.
    pub fn run(&mut self, inputs: Vec<(Now, Input)>) -> Result<Vec<Output>, Stopped> {
        let now = inputs.first().map(|(now, _)| *now);
        if let Some(recorder) = &mut self.recorder {
            recorder.batch(&inputs);
        }
        let mut batch = Batch::new(inputs);
        if self.journal.is_some() {
            // As bytes before the linked core takes the values.
            batch.bytes();
            batch = batch.digested();
        }
        let outputs = match self.engine.batch(&mut batch) {
            Ok(outputs) => {
                if let Some(journal) = &mut self.journal {
                    journal.push(&mut batch);
                }
                outputs
            }
            Err(fault) => self.contain(batch.take_inputs(), fault)?,
        };
        self.deadline = match self.engine.deadline() {
            Ok(deadline) => deadline,
            Err(fault) => return Err(Stopped(format!("no deadline: {fault}"))),
        };
        self.checkpoint_if_due();
        if let (Some(now), Some(recorder)) = (now, &mut self.recorder)
            && recorder.wants_state()
        {
            let image = self.engine.image(None);
            recorder.begin(Base::Image(self.core.clone(), image.into()), now);
        }
        Ok(outputs)
    }

    /// When the node wants a tick, on the monotonic clock.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// What runs.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// What ran before the last change.
    #[must_use]
    pub fn previous(&self) -> Option<&Core> {
        self.previous.as_ref()
    }

    /// What was done about faults.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// The module's memory.
    pub fn memory(&mut self) -> Option<Memory> {
        self.engine.memory()
    }

    /// Makes the journal begin with the state as it is.
    pub fn checkpoint(&mut self) {
        let began = Instant::now();
        // A copy cannot fail, so what it is written over is not needed meanwhile.
        let spare = self.journal.take().and_then(Journal::into_image);
        self.journal = Some(Journal::new(self.base(spare)));
        self.faults.checkpoints += 1;
        let took = began.elapsed();
        self.faults.longest_checkpoint = self.faults.longest_checkpoint.max(took);
        tracing::debug!(target: "nacrite", "checkpoint of the core in {took:?}");
    }

    /// The state as it is.
    fn base(&mut self, spare: Option<Image>) -> Base {
        Base::Image(self.core.clone(), Arc::new(self.engine.image(spare)))
    }

    fn checkpoint_if_due(&mut self) {
        let when = self.checkpoints;
        let journal = self.journal.as_ref().filter(|_| !self.shadowed);
        if journal.is_some_and(|journal| journal.is_due(when)) {
            self.checkpoint();
        }
    }

    /// Makes the state again as it was after the last batch that was handled.
    fn recover(&mut self) -> Result<(), Stopped> {
        let began = Instant::now();
        let Some(journal) = &self.journal else {
            return Err(Stopped("its state cannot be made again".to_owned()));
        };
        self.engine = journal
            .replay(&self.core)
            .map_err(|why| Stopped(format!("its state cannot be made again: {why}")))?;
        self.faults.recoveries += 1;
        self.faults.longest = self.faults.longest.max(began.elapsed());
        Ok(())
    }

    /// A batch had a fault: leaves out what caused it, and handles the rest.
    fn contain(
        &mut self,
        mut inputs: Vec<(Now, Input)>,
        mut fault: Fault,
    ) -> Result<Vec<Output>, Stopped> {
        let mut replies = Vec::new();
        loop {
            let Some(at) = fault.handled.filter(|at| *at < inputs.len()) else {
                return self.one_by_one(inputs, &fault, replies);
            };
            let culprit = inputs.remove(at);
            self.drop_input(&culprit, &fault, &mut replies)?;
            if inputs.is_empty() {
                return Ok(replies);
            }
            match self.again(&inputs) {
                Ok(mut outputs) => {
                    outputs.append(&mut replies);
                    return Ok(outputs);
                }
                Err(next) => fault = next,
            }
        }
    }

    /// The fault was in what the whole batch came to: each input becomes a batch of its own.
    fn one_by_one(
        &mut self,
        inputs: Vec<(Now, Input)>,
        fault: &Fault,
        mut outputs: Vec<Output>,
    ) -> Result<Vec<Output>, Stopped> {
        if let [only] = &inputs[..] {
            self.drop_input(only, fault, &mut outputs)?;
            return Ok(outputs);
        }
        self.recover()?;
        if let Some(recorder) = &mut self.recorder {
            recorder.fault(&fault.reason);
        }
        for input in inputs {
            match self.again(std::slice::from_ref(&input)) {
                Ok(mut more) => outputs.append(&mut more),
                Err(fault) => self.drop_input(&input, &fault, &mut outputs)?,
            }
        }
        Ok(outputs)
    }

    fn again(&mut self, inputs: &[(Now, Input)]) -> Result<Vec<Output>, Fault> {
        if let Some(recorder) = &mut self.recorder {
            recorder.batch(inputs);
        }
        let mut batch = Batch::new(inputs.to_vec()).digested();
        batch.bytes();
        let outputs = self.engine.batch(&mut batch)?;
        if let Some(journal) = &mut self.journal {
            journal.push(&mut batch);
        }
        Ok(outputs)
    }

    /// Leaves an input out: its sender is told, the state is as if it had not come.
    fn drop_input(
        &mut self,
        input: &(Now, Input),
        fault: &Fault,
        replies: &mut Vec<Output>,
    ) -> Result<(), Stopped> {
        if !may_be_dropped(&input.1) {
            let what = kind(&input.1);
            return Err(Stopped(format!("a fault in {what}: {fault}")));
        }
        let began = Instant::now();
        self.recover()?;
        self.faults.dropped += 1;
        if let Some(recorder) = &mut self.recorder {
            recorder.fault(&fault.reason);
        }
        let seen = match (&self.recorder, &mut self.log, &self.journal) {
            (Some(recorder), ..) => {
                format!("the recording in {} shows it", recorder.folder().display())
            }
            (None, Some(log), Some(journal)) => log.fault(journal, input),
            _ => "it is not recorded".to_owned(),
        };
        tracing::error!(
            target: "nacrite",
            "the core failed at {}, which is dropped: {fault}; the state was made again in {:?}; {seen}",
            kind(&input.1),
            began.elapsed(),
        );
        if let Input::Request { id, .. } = input.1 {
            replies.push(Output::Reply {
                id,
                result: Err(Refusal::Failed(fault.reason.clone())),
            });
        }
        // Where one fault is, others follow: the next need not go this way again.
        if self.core.is_contained() && !self.shadowed {
            self.checkpoint();
        }
        Ok(())
    }

    /// Another engine takes over soon: where it begins. The journal grows until [`Runner::take_over`] or
    /// [`Runner::release`].
    pub fn shadow(&mut self) -> Base {
        self.shadowed = true;
        if let Some(journal) = &self.journal {
            return journal.base().clone();
        }
        let base = self.base(None);
        self.journal = Some(Journal::new(base.clone()));
        base
    }

    /// The state that the journal begins with, in another form. The one before is given back: to end a large one takes
    /// longer than others should wait.
    #[must_use]
    pub fn rebase(&mut self, base: Base) -> Option<Base> {
        self.journal.as_mut().map(|journal| journal.rebase(base))
    }

    /// The batches from this one on.
    ///
    /// # Errors
    /// There are more than anybody can keep up with.
    pub fn since(&self, from: usize) -> Result<Vec<Entry>, Stopped> {
        let journal = self.journal.as_ref().filter(|_| self.shadowed);
        let journal = journal.ok_or_else(|| Stopped("nobody takes over".to_owned()))?;
        if journal.is_overdue(self.checkpoints) {
            return Err(Stopped("it does not keep up with the load".to_owned()));
        }
        Ok(journal.entries().get(from..).unwrap_or_default().to_vec())
    }

    /// The engine that has handled the whole journal is the one from here on. The one before it is given back: to end a
    /// large one takes longer than others should wait.
    #[must_use]
    pub fn take_over(&mut self, core: Core, engine: Box<dyn Engine>) -> Box<dyn Engine> {
        self.previous = Some(std::mem::replace(&mut self.core, core));
        std::mem::replace(&mut self.engine, engine)
    }

    /// Nobody takes over any more. What was kept for that alone is given back.
    pub fn release(&mut self) -> Option<Journal> {
        self.shadowed = false;
        match self.core.is_contained() {
            true => None,
            false => self.journal.take(),
        }
    }
}

/// Only what somebody can send again, or what is lost on a network anyway.
fn may_be_dropped(input: &Input) -> bool {
    matches!(
        input,
        Input::Request { .. } | Input::Ack { .. } | Input::UdpAck { .. }
    )
}

fn kind(input: &Input) -> String {
    match input {
        Input::Request { id, origin, op } => {
            let op = format!("{op:?}");
            let name = op.split([' ', '(', '{']).next().unwrap_or_default();
            format!("request {id} ({name} from {})", origin.ip)
        }
        Input::Committed { index, .. } => format!("the committed command at index {index}"),
        Input::Ack { .. } | Input::UdpAck { .. } => "an acknowledgement".to_owned(),
        other => {
            let other = format!("{other:?}");
            let name = other.split([' ', '(', '{']).next().unwrap_or_default();
            name.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use nacrite_core::node::{Node, input::Origin, op::Op, reply::Reply};

    use super::*;
    use crate::engine::Native;

    /// The linked core until its first fault; what it is made of again has none.
    struct Failing {
        engine: Native,
        handled: Option<usize>,
    }

    impl Engine for Failing {
        fn batch(&mut self, batch: &mut Batch) -> Result<Vec<Output>, Fault> {
            let inputs = batch.take_inputs();
            if inputs.len() > 1 {
                // Left for the runner.
                *batch = Batch::new(inputs);
                return Err(Fault {
                    reason: "it fell".to_owned(),
                    handled: self.handled,
                });
            }
            let mut again = Batch::new(inputs).digested();
            let outputs = self.engine.batch(&mut again)?;
            batch.answered(&outputs);
            Ok(outputs)
        }

        fn deadline(&mut self) -> Result<Option<u64>, Fault> {
            self.engine.deadline()
        }

        fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
            self.engine.snapshot()
        }

        fn image(&mut self, spare: Option<Image>) -> Image {
            self.engine.image(spare)
        }
    }

    fn runner(handled: Option<usize>) -> Runner {
        let settings = NodeSettings::default();
        let engine = Failing {
            engine: Native::new(Node::new(&settings)),
            handled,
        };
        let mut runner = Runner::of(Core::Native, Box::new(engine));
        runner.journal = Some(Journal::new(Base::New(Arc::new(settings))));
        let started = vec![(NOW, Input::Ready)];
        runner.run(started).expect("a node starts");
        runner
    }

    const NOW: Now = Now { mono: 1, wall: 1 };

    fn asks(id: u64) -> (Now, Input) {
        let input = Input::Request {
            id,
            origin: Origin::default(),
            op: Op::Ask(nacrite_core::node::op::Question::Clients),
        };
        (NOW, input)
    }

    fn answers(outputs: &[Output]) -> Vec<(u64, bool)> {
        let mut answers: Vec<(u64, bool)> = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Reply { id, result } => {
                    Some((*id, matches!(result, Ok(Reply::Clients(_)))))
                }
                _ => None,
            })
            .collect();
        answers.sort_unstable();
        answers
    }

    #[test]
    fn the_input_at_fault_is_dropped_and_the_rest_of_its_batch_is_answered() {
        let mut runner = runner(Some(1));
        let outputs = runner
            .run(vec![asks(1), asks(2), asks(3)])
            .expect("it goes on");
        assert_eq!(answers(&outputs), [(1, true), (2, false), (3, true)]);
        let refused = outputs.iter().any(|o| {
            matches!(o, Output::Reply { id: 2, result: Err(Refusal::Failed(why)) } if why == "it fell")
        });
        assert!(refused, "{outputs:?}");
        assert_eq!(
            (runner.faults().dropped, runner.faults().recoveries),
            (1, 1)
        );
        // Both batches since the start are in the journal, without what was dropped.
        let again = runner.journal.as_ref().map(|j| j.entries().len());
        assert_eq!(again, Some(2));
        runner
            .recover()
            .expect("the journal leads to the same state");
    }

    #[test]
    fn a_fault_of_a_whole_batch_is_looked_for_one_by_one() {
        let mut runner = runner(Some(3));
        let outputs = runner
            .run(vec![asks(1), asks(2), asks(3)])
            .expect("it goes on");
        assert_eq!(answers(&outputs), [(1, true), (2, true), (3, true)]);
        assert_eq!(
            (runner.faults().dropped, runner.faults().recoveries),
            (0, 1)
        );
    }

    #[test]
    fn what_cannot_be_dropped_stops_the_node() {
        let mut runner = runner(Some(0));
        let committed = Input::Committed {
            index: 7,
            proposal: None,
            command: Vec::new(),
        };
        let stopped = runner
            .run(vec![(NOW, committed), asks(1)])
            .expect_err("it stops");
        let reason = "a fault in the committed command at index 7: it fell";
        assert_eq!(stopped, Stopped(reason.to_owned()));
    }

    #[test]
    fn a_checkpoint_shortens_the_journal_unless_somebody_reads_it() {
        let mut runner = runner(None);
        runner.checkpoints = Checkpoints {
            bytes: 1,
            every: Duration::from_secs(60),
        };
        // It stays contained, as a module's would.
        let _base = runner.shadow();
        runner.checkpoints.bytes = 1_000;
        runner.run(vec![asks(1)]).expect("it answers");
        assert_eq!(runner.since(0).expect("they are kept").len(), 2);
        runner.shadowed = false;
        runner.checkpoints.bytes = 1;
        runner.run(vec![asks(2)]).expect("it answers");
        assert_eq!(runner.faults().checkpoints, 1);
        assert_eq!(runner.journal.as_ref().map(|j| j.entries().len()), Some(0));
        assert!(runner.since(0).is_err(), "nobody takes over");
    }
}
