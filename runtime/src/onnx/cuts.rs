//! Where a model can be cut, and what crosses there.
//!
//! The nodes that depend on an input stand in an order in which they can run; a cut is a place in it. What is made before
//! and used behind must cross: often several tensors, where branches are open. What is the same for every item does not
//! cross: each segment has its own copy of the constants that it needs. Nor do sizes that follow from the shapes alone: a segment
//! that needs one has it as a constant. Where items may differ in shape it is not known, and there is no cut across it.
//!
//! Nor is there a cut between layers that an engine makes one of, a convolution and the scaling behind it, say (`glue`): it would
//! cost time, and round otherwise.

use std::{collections::HashMap, ops::Range, sync::Arc};

use super::{
    OnnxError, OnnxModel,
    blocks::blocks,
    cost::ROUGH,
    glue::glued,
    graph::{Graph, Tensor},
    split, weights,
};
use crate::{
    engine::shapes::{Shape, shapes},
    tensor::{DType, Dim, Tensor as Value, TensorSpec, dims},
};

/// How long an open dimension is taken to be where nobody says.
const OPEN: usize = 64;
/// How much more than the most even blocks may take where that saves bytes.
const SLACK: f64 = 0.1;

/// The places where a model can be cut.
///
/// ```
/// use std::sync::Arc;
/// use eddyline_runtime::onnx::{Cuts, OnnxModel};
///
/// let model = Arc::new(OnnxModel::load("../examples/account-numbers/heavy.onnx")?);
/// let cuts = Cuts::new(&model)?;
/// assert_eq!(cuts.layers().len(), 8);
/// let places = cuts.blocks(2)?;
/// let segments = cuts.segments(&places)?;
/// assert_eq!(segments[0].inputs(), model.inputs());
/// assert_eq!(segments[0].outputs(), segments[1].inputs());
/// assert_eq!(segments[1].outputs(), model.outputs());
/// # Ok::<(), eddyline_runtime::onnx::OnnxError>(())
/// ```
pub struct Cuts {
    pub(super) model: Arc<OnnxModel>,
    pub(super) graph: Graph,
    /// What may cross, by tensor; `None` where a type or shape is not known, so that no cut can be there.
    pub(super) boundaries: Vec<Option<Boundary>>,
    /// By tensor: what it holds, where that follows from shapes, and whether it changes with the batch.
    pub(super) values: Vec<Option<(Value, bool)>>,
    layers: Vec<Layer>,
    /// By tensor: the first place behind its maker, and the last one before a user.
    spans: Vec<Option<(usize, usize)>>,
    /// By place: the bytes that cross; `None` where there can be no cut.
    crossing: Vec<Option<u64>>,
    /// By tensor: the last place before a layer that an engine joins with its maker.
    glued: Vec<Option<usize>>,
    open: bool,
}

/// A tensor that crosses a cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Boundary {
    /// Its name in the whole model.
    pub name: String,
    /// The type of its elements.
    pub dtype: DType,
    /// Its dimensions at a batch of 1.
    pub shape: Vec<usize>,
    /// Whether the first dimension is the batch. If not, the tensor crosses once for every item.
    pub is_batch: bool,
}

impl Boundary {
    /// Bytes of one item.
    pub fn bytes(&self) -> u64 {
        let size = match self.dtype {
            DType::F32 | DType::I32 => 4,
            DType::I64 => 8,
            DType::U8 | DType::Bool => 1,
        };
        self.shape.iter().fold(size, |bytes: u64, dim| bytes.saturating_mul(*dim as u64))
    }
}

/// A node that depends on an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its name, or that of what it gives.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// The shape of its first output at a batch of 1, as it is shown: `1,64,56,56`; `?` where it is not known.
    pub shape: String,
    /// Multiplications with an addition for one item, of what multiplies matrices.
    pub macs: u64,
    /// Bytes that it reads and writes for one item, its weights included.
    pub bytes: u64,
    /// Bytes of its weights.
    pub weight_bytes: u64,
}

impl Cuts {
    /// Where this model can be cut. Dimensions that are open besides the batch are taken to be 64.
    ///
    /// # Errors
    /// Where the shapes inside cannot be worked out.
    pub fn new(model: &Arc<OnnxModel>) -> Result<Self, OnnxError> {
        Self::of(model, &[])
    }

    /// The same for items of these shapes, one per input; open dimensions of further inputs are taken to be 64.
    ///
    /// # Errors
    /// Where an input does not take its shape, or the shapes inside cannot be worked out.
    pub fn of(model: &Arc<OnnxModel>, item_shapes: &[Vec<usize>]) -> Result<Self, OnnxError> {
        let fail = |why: String| OnnxError::Shapes { file: model.file().to_owned(), why };
        let graph = model.graph()?;
        let mut items = Vec::with_capacity(model.inputs().len());
        for (at, input) in model.inputs().iter().enumerate() {
            let shape = item_shapes.get(at).cloned().unwrap_or_else(|| {
                input
                    .item_shape()
                    .iter()
                    .map(|dim| if let Dim::Fixed(len) = dim { *len } else { OPEN })
                    .collect()
            });
            if !input.takes(&shape) {
                return Err(fail(format!("input {input} takes no item of [{}]", dims(&shape))));
            }
            items.push(shape);
        }
        let known = shapes(model, &items).map_err(fail)?;
        let is_open =
            |input: &TensorSpec| input.item_shape().iter().any(|dim| matches!(dim, Dim::Dynamic(_)));
        let open = model.inputs().iter().any(is_open);
        let mut boundaries: Vec<_> =
            graph.names.iter().map(|name| boundary(name, known.get(name)?)).collect();
        let mut spans = spans(&graph);
        let glued = glued(&graph);
        let mut values = vec![None; graph.names.len()];
        for (tensor, name) in graph.names.iter().enumerate() {
            let Some((shape, value)) = known.get(name).and_then(|shape| Some((shape, shape.value.as_ref()?)))
            else {
                continue;
            };
            if open {
                boundaries[tensor] = None;
            } else if !graph.outputs.contains(&tensor) {
                values[tensor] = Some((value.clone(), shape.value_has_batch));
                spans[tensor] = None;
            }
        }
        let layers = graph.order.iter().map(|node| layer(&graph, *node, &known)).collect();
        let mut cuts = Self {
            model: model.clone(),
            graph,
            boundaries,
            values,
            layers,
            spans,
            crossing: Vec::new(),
            glued,
            open,
        };
        cuts.crossing = cuts.count_crossing();
        Ok(cuts)
    }

    /// The layers, in an order in which they can run. A cut is a number of layers that come before it.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Where there can be a cut, with the bytes of one item that cross there.
    pub fn places(&self) -> Vec<(usize, u64)> {
        let inner = 1..self.layers.len();
        inner.filter_map(|place| Some((place, self.crossing[place]?))).collect()
    }

    /// The tensors that cross at a place.
    pub fn crossing(&self, place: usize) -> Vec<&Boundary> {
        self.live(place).into_iter().filter_map(|tensor| self.boundaries[tensor].as_ref()).collect()
    }

    /// The bytes of one item that cross at a place; `None` where there can be no cut.
    pub fn cut_bytes(&self, place: usize) -> Option<u64> {
        self.crossing.get(place).copied().flatten()
    }

    /// The place where just these tensors cross; `None` where there is none.
    pub fn find(&self, names: &[String]) -> Option<usize> {
        let mut wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        wanted.sort_unstable();
        let made = |name: &&str| {
            let tensor = self.graph.names.iter().position(|known| known == name)?;
            self.spans[tensor]
        };
        let spans = wanted.iter().map(made).collect::<Option<Vec<_>>>()?;
        let from = spans.iter().map(|span| span.0).max()?;
        let until = spans.iter().map(|span| span.1).min()?;
        (from..=until).find(|place| {
            let mut crossing: Vec<&str> = self.crossing(*place).iter().map(|b| b.name.as_str()).collect();
            crossing.sort_unstable();
            crossing == wanted && self.cut_bytes(*place).is_some()
        })
    }

    /// The places that cut it into `count` blocks of about equal time on all sorts of devices, with few bytes between them.
    ///
    /// # Errors
    /// Where there are not enough places.
    pub fn blocks(&self, count: usize) -> Result<Vec<usize>, OnnxError> {
        let times: Vec<Vec<f64>> =
            ROUGH.iter().map(|(_, pace)| self.layers.iter().map(|layer| pace.us(layer)).collect()).collect();
        self.blocks_by(&times, count)
    }

    /// The same by times that are known: per kind of device the time of each layer, in any unit.
    ///
    /// # Errors
    /// Where there are not enough places.
    pub fn blocks_by(&self, times: &[Vec<f64>], count: usize) -> Result<Vec<usize>, OnnxError> {
        let places = self.places();
        blocks(times, &places, count, SLACK).ok_or_else(|| OnnxError::Cuts {
            file: self.model.file().to_owned(),
            places: places.len(),
            wanted: count,
        })
    }

    /// The segments between these places, each a model of its own that takes what the one before gives. One after the other they
    /// give what the whole gives.
    ///
    /// # Errors
    /// Where a place is none where this model can be cut.
    pub fn segments(&self, places: &[usize]) -> Result<Vec<Arc<OnnxModel>>, OnnxError> {
        let ends =
            [0].into_iter().chain(places.iter().copied()).chain([self.layers.len()]).collect::<Vec<_>>();
        ends.windows(2).map(|pair| self.segment(pair[0]..pair[1])).collect()
    }

    /// The layers of a range as a model of its own.
    ///
    /// # Errors
    /// Where an end of the range is no place where this model can be cut.
    pub fn segment(&self, range: Range<usize>) -> Result<Arc<OnnxModel>, OnnxError> {
        let all = self.layers.len();
        let is_end = |place: usize| place == 0 || place == all || self.cut_bytes(place).is_some();
        if range.start > range.end || range.end > all || !is_end(range.start) || !is_end(range.end) {
            let file = self.model.file().to_owned();
            return Err(OnnxError::Segment { file, from: range.start, to: range.end });
        }
        if range == (0..all) {
            return Ok(self.model.clone());
        }
        split::segment(self, range).map(Arc::new)
    }

    /// Bytes of the constants that a segment needs.
    pub fn weight_bytes(&self, range: Range<usize>) -> u64 {
        let (_, initialisers) = split::needed(self, &range);
        initialisers.iter().map(|at| weights::bytes(&self.graph.graph().initializer[*at])).sum()
    }

    /// Most bytes of one item that a segment holds at once: what it is given, what its layers make until the last one that takes it, and
    /// what goes through. An engine that runs a batch in one launch holds as many. Tensors of unknown shape are not counted.
    pub fn activation_bytes(&self, range: Range<usize>) -> u64 {
        let places = self.layers.len() + 2;
        let mut changes = vec![0_i128; places];
        let mut made = vec![0_i128; places];
        for (span, boundary) in self.spans.iter().zip(&self.boundaries) {
            let (Some((from, to)), Some(boundary)) = (*span, boundary) else { continue };
            let bytes = i128::from(boundary.bytes());
            changes[from] += bytes;
            changes[to + 1] -= bytes;
            made[from] += bytes;
        }
        let mut live = 0;
        let at_layer = |(at, change): (usize, &i128)| {
            live += change;
            live + made[at + 1]
        };
        let held = changes.iter().take(range.end).enumerate().map(at_layer).collect::<Vec<_>>();
        held.get(range)
            .and_then(|held| held.iter().max())
            .map_or(0, |most| u64::try_from(*most).unwrap_or(u64::MAX))
    }

    /// The tensors that cross, in the order in which they were made.
    pub(super) fn live(&self, place: usize) -> Vec<Tensor> {
        let crosses =
            |tensor: &Tensor| self.spans[*tensor].is_some_and(|(from, to)| (from..=to).contains(&place));
        let mut live: Vec<Tensor> = (0..self.spans.len()).filter(crosses).collect();
        live.sort_by_key(|tensor| self.spans[*tensor]);
        live
    }

    /// Whether items may differ in shape.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Bytes at every place, in one pass.
    fn count_crossing(&self) -> Vec<Option<u64>> {
        let places = self.layers.len() + 1;
        // By place: bytes that begin and end to cross, and tensors that cannot cross likewise.
        let (mut bytes, mut bad) = (vec![0_i128; places + 1], vec![0_i64; places + 1]);
        for (tensor, (span, boundary)) in self.spans.iter().zip(&self.boundaries).enumerate() {
            let Some((from, to)) = *span else { continue };
            if let Some(until) = self.glued[tensor] {
                bad[from] += 1;
                bad[until + 1] -= 1;
            }
            match boundary {
                Some(boundary) => {
                    bytes[from] += i128::from(boundary.bytes());
                    bytes[to + 1] -= i128::from(boundary.bytes());
                }
                None => {
                    bad[from] += 1;
                    bad[to + 1] -= 1;
                }
            }
        }
        let (mut crossing, mut stopped) = (0_i128, 0_i64);
        let at = |(bytes, bad): (&i128, &i64)| {
            crossing += bytes;
            stopped += bad;
            // Where nothing crosses there is nothing that a stage could be given.
            (stopped == 0 && crossing > 0).then(|| u64::try_from(crossing).unwrap_or(u64::MAX))
        };
        bytes.iter().zip(&bad).take(places).map(at).collect()
    }
}

fn boundary(name: &str, shape: &Shape) -> Option<Boundary> {
    Some(Boundary {
        name: name.to_owned(),
        dtype: shape.dtype?,
        shape: shape.dims.clone(),
        is_batch: shape.is_batch,
    })
}

/// From where to where each tensor must be carried; constants are not.
fn spans(graph: &Graph) -> Vec<Option<(usize, usize)>> {
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; graph.names.len()];
    for input in &graph.inputs {
        spans[*input] = Some((0, 0));
    }
    for (at, node) in graph.order.iter().enumerate() {
        for tensor in &graph.nodes[*node].takes {
            if let Some(span) = &mut spans[*tensor] {
                span.1 = at;
            }
        }
        for tensor in &graph.nodes[*node].gives {
            spans[*tensor] = Some((at + 1, at));
        }
    }
    for output in &graph.outputs {
        if let Some(span) = &mut spans[*output] {
            span.1 = graph.order.len();
        }
    }
    // What nobody uses crosses nowhere.
    spans.into_iter().map(|span| span.filter(|(from, to)| from <= to)).collect()
}

fn layer(graph: &Graph, at: usize, known: &HashMap<String, Shape>) -> Layer {
    let node = &graph.graph().node[at];
    let shape =
        |name: Option<&String>| name.and_then(|name| known.get(name)).map(|shape| shape.dims.as_slice());
    let count = |dims: &[usize]| dims.iter().fold(1_u64, |n, dim| n.saturating_mul(*dim as u64));
    let size = |tensor: &Tensor| {
        let shape = known.get(&graph.names[*tensor]);
        let size = if shape.is_some_and(|shape| shape.dtype == Some(DType::I64)) { 8 } else { 4 };
        shape.map_or(0, |shape| count(&shape.dims).saturating_mul(size))
    };
    let (takes, gives) = (&graph.nodes[at].takes, &graph.nodes[at].gives);
    let weight_bytes = takes.iter().filter(|t| graph.constant[**t]).map(size).fold(0, u64::saturating_add);
    let bytes = takes.iter().chain(gives).map(size).fold(0, u64::saturating_add);
    let (input, weight, output) =
        (shape(node.input.first()), shape(node.input.get(1)), shape(node.output.first()));
    let macs = match (node.op_type.as_str(), input, weight, output) {
        ("Conv", _, Some([_, window @ ..]), Some(output)) => count(output).saturating_mul(count(window)),
        ("ConvTranspose", Some(input), Some([_, window @ ..]), _) => {
            count(input).saturating_mul(count(window))
        }
        ("MatMul", Some([.., inner]), _, Some(output)) => count(output).saturating_mul(*inner as u64),
        ("Gemm", _, Some(weight), Some([.., last])) => {
            count(output.unwrap_or_default()).saturating_mul(count(weight) / (*last as u64).max(1))
        }
        ("LSTM" | "GRU" | "RNN", Some([steps, ..]), Some(weight), _) => {
            let again = shape(node.input.get(2)).map_or(0, count);
            (*steps as u64).saturating_mul(count(weight).saturating_add(again))
        }
        _ => 0,
    };
    let name = [&node.name].into_iter().chain(&node.output).find(|name| !name.is_empty());
    Layer {
        name: name.cloned().unwrap_or_default(),
        operator: node.op_type.clone(),
        shape: output.map_or_else(|| "?".to_owned(), dims),
        macs,
        bytes,
        weight_bytes,
    }
}
