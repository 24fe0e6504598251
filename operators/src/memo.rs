//! What models have given before, so that a run that asks the same again need not compute it again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use eddyline_runtime::{
    engine::Item,
    onnx::OnnxModel,
    tensor::{Tensor, Values},
};
use parking_lot::Mutex;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The memory of models: what each gave for which tensors. Share one among runs that differ in a handler or a parameter: the models are
/// then called only for what has changed. Cheap to clone: clones are one memory.
///
/// A call is known by the hash (SHA-256) of the model's file and of the tensors after the step before it, so code around the model may
/// change as it likes. It is asked before the dispatcher is: what is remembered needs no device and waits for none. The steps
/// before and after the model run again. What failed is not remembered, nor what a function gave, whose code has no hash.
///
/// A result is that of the engine that computed it first; another one may differ in the last digits.
///
/// ```
/// # use eddyline::prelude::*;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let heavy = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/account-numbers/heavy.onnx");
/// let memo = Memo::new();
/// for limit in [0.5, 0.9] {
///     let reader = Model::onnx(heavy)
///         .input("picture", |ink: &f32| Tensor::new([1, 8, 8], vec![*ink; 64]))
///         .output("probabilities", |_, p| p.values::<f32>().map_or(0.0, |all| all.iter().copied().fold(0.0, f32::max)))
///         .memo(&memo);
///     let flow = Workflow::new("digits");
///     flow.source("pictures", [1.0, 8.0, 16.0])
///         .model("read", reader)
///         .handle("sure", move |p| if *p < limit { Verdict::reject("not sure") } else { Verdict::Pass })
///         .ignore();
///     let report = flow.run().await?;
///     println!("{} items for the model", report.model_items("read").unwrap_or(0));
/// }
/// let seen = memo.read();
/// assert_eq!((seen.computed, seen.remembered), (3, 3));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Memo {
    most_bytes: usize,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    items: HashMap<Key, Item>,
    /// The oldest first.
    order: VecDeque<Key>,
    bytes: usize,
    computed: u64,
    remembered: u64,
}

/// A model and what it was given.
pub(crate) type Key = [u8; 32];

/// What a [`Memo`] has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemoSeen {
    /// Items that models have computed.
    pub computed: u64,
    /// Items that they need not compute.
    pub remembered: u64,
    /// Items that it holds now.
    pub items: usize,
    /// Bytes of their tensors.
    pub bytes: usize,
}

/// Bytes of tensors that a memory holds unless it is told otherwise.
const MOST_BYTES: usize = 1 << 30;

impl Default for Memo {
    fn default() -> Self {
        Self::new()
    }
}

impl Memo {
    /// An empty one. It holds 1 GiB of tensors at most, and then forgets the oldest.
    pub fn new() -> Self {
        Self::of_bytes(MOST_BYTES)
    }

    /// An empty one that holds so many bytes of tensors at most.
    pub fn of_bytes(bytes: usize) -> Self {
        Self { most_bytes: bytes, kept: Arc::default() }
    }

    /// What it has done so far.
    pub fn read(&self) -> MemoSeen {
        let Kept { items, bytes, computed, remembered, .. } = &*self.kept.lock();
        MemoSeen { computed: *computed, remembered: *remembered, items: items.len(), bytes: *bytes }
    }
}

/// The memory of one model.
#[derive(Debug)]
pub(crate) struct Remembering {
    memo: Memo,
    /// Of the model's file.
    hash: Sha256,
}

impl Remembering {
    pub fn new(memo: Memo, model: &OnnxModel) -> Self {
        let folder = model.folder().unwrap_or_default();
        Self { memo, hash: Sha256::new().chain_update(model.hash()).chain_update(folder) }
    }

    /// What an item is known by.
    pub fn key(&self, item: &Item) -> Key {
        let hash = item.tensors.iter().fold(self.hash.clone(), with);
        hash.finalize().into()
    }

    /// What the model gave for all of these, if it is known of each.
    pub fn recall(&self, keys: &[Key]) -> Option<Vec<Item>> {
        let mut kept = self.memo.kept.lock();
        let known = keys.iter().map(|key| kept.items.get(key).cloned()).collect::<Option<Vec<Item>>>()?;
        kept.remembered += known.len() as u64;
        Some(known)
    }

    /// The model gave this.
    pub fn keep(&self, key: Key, item: &Item) {
        let kept = &mut *self.memo.kept.lock();
        kept.computed += 1;
        if kept.items.insert(key, item.clone()).is_some() {
            return;
        }
        kept.order.push_back(key);
        kept.bytes += bytes(item);
        while kept.bytes > self.memo.most_bytes
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.bytes -= kept.items.remove(&oldest).as_ref().map_or(0, bytes);
        }
    }
}

fn bytes(item: &Item) -> usize {
    item.tensors.iter().map(Tensor::bytes).sum()
}

/// A hash of what came before and of a tensor: its type, its shape, its elements.
fn with(mut hash: Sha256, tensor: &Tensor) -> Sha256 {
    fn elements<const N: usize, T: Copy>(
        hash: &mut Sha256,
        name: &str,
        values: &[T],
        bytes: impl Fn(T) -> [u8; N],
    ) {
        hash.update(name);
        // Some at a time: a call for each element would take longer than the hash.
        for some in values.chunks(1024) {
            let some: Vec<u8> = some.iter().flat_map(|value| bytes(*value)).collect();
            hash.update(some);
        }
    }
    hash.update((tensor.shape().len() as u64).to_le_bytes());
    tensor.shape().iter().for_each(|len| hash.update((*len as u64).to_le_bytes()));
    match tensor.data() {
        Values::F32(values) => elements(&mut hash, "f32", values, f32::to_le_bytes),
        Values::I32(values) => elements(&mut hash, "i32", values, i32::to_le_bytes),
        Values::I64(values) => elements(&mut hash, "i64", values, i64::to_le_bytes),
        Values::U8(values) => elements(&mut hash, "u8", values, |value| [value]),
        Values::Bool(values) => elements(&mut hash, "bool", values, |value| [u8::from(value)]),
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembering(memo: &Memo) -> Remembering {
        let heavy = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/account-numbers/heavy.onnx");
        Remembering::new(memo.clone(), &OnnxModel::load(heavy).unwrap())
    }

    fn item(values: &[f32]) -> Item {
        Item::from(Tensor::vector(values.to_vec()))
    }

    #[test]
    fn other_values_shapes_types_and_models_are_other_calls() {
        let memo = Memo::new();
        let heavy = remembering(&memo);
        let light = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/account-numbers/light.onnx");
        let light = Remembering::new(memo, &OnnxModel::load(light).unwrap());
        let square = Item::from(Tensor::new([2, 2], vec![0.0_f32; 4]).unwrap());
        let whole = Item::from(Tensor::vector(vec![0_i32; 4]));
        let two =
            Item::new([&[0.0, 0.0], &[0.0, 0.0]].map(|values| Tensor::vector(values.to_vec())).to_vec());
        let mut keys = vec![light.key(&item(&[0.0; 4]))];
        keys.extend(
            [&item(&[0.0; 4]), &item(&[0.0; 5]), &item(&[-0.0, 0.0, 0.0, 0.0]), &square, &whole, &two]
                .map(|item| heavy.key(item)),
        );
        assert_eq!(heavy.key(&item(&[0.0; 4])), keys[1]);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 7);
    }

    #[test]
    fn it_forgets_the_oldest_where_it_is_full() {
        let memo = Memo::of_bytes(100);
        let model = remembering(&memo);
        for n in 0..5 {
            let given = item(&[n as f32; 10]);
            model.keep(model.key(&given), &given);
        }
        let seen = memo.read();
        assert_eq!((seen.computed, seen.items, seen.bytes), (5, 2, 80));
        assert!(model.recall(&[model.key(&item(&[0.0; 10]))]).is_none());
        assert_eq!(model.recall(&[model.key(&item(&[4.0; 10]))]), Some(vec![item(&[4.0; 10])]));
        // Of what is asked for together, all must be known.
        let keys = [4.0, 0.0].map(|n| model.key(&item(&[n; 10])));
        assert!(model.recall(&keys).is_none());
        assert_eq!(memo.read().remembered, 1);
    }
}
