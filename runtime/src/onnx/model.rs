//! ONNX models as files: read once, checked before anything runs, with the names, types and shapes of what they take
//! and give.

use std::{collections::HashSet, fmt, fs, path::Path};

use prost::Message;
use sha2::{Digest, Sha256};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, ValueInfoProto, tensor_proto::DataType, tensor_shape_proto::dimension,
    type_proto,
};

use super::{
    error::{ModelMismatch, OnnxError},
    graph::{Graph, graphs_of},
};
use crate::tensor::{DType, Dim, TensorSpec, dims};

/// An ONNX model, read and checked. Engines take their own copy of the graph when they prepare it.
///
/// Limits: tensors of `f32`, `i32`, `i64`, `u8` and `bool`; every input has a shape whose first dimension is the batch,
/// dynamic or 1.
pub struct OnnxModel {
    file: String,
    folder: Option<String>,
    bytes: Vec<u8>,
    hash: String,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

/// What an author says of one input or output of a model, to be held against the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name in the model.
    pub name: String,
    /// The type of its elements, where it matters.
    pub dtype: Option<DType>,
    /// The shape of one item, without the batch, where it matters.
    pub item_shape: Option<Vec<usize>>,
}

impl Declared {
    /// A tensor of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), dtype: None, item_shape: None }
    }

    /// With elements of this type.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// With this shape of one item, without the batch.
    pub fn item_shape(mut self, shape: impl Into<Vec<usize>>) -> Self {
        self.item_shape = Some(shape.into());
        self
    }

    /// What of it the specification does not allow.
    fn differs(&self, spec: &TensorSpec) -> Option<String> {
        if let Some(dtype) = self.dtype.filter(|dtype| *dtype != spec.dtype) {
            return Some(dtype.to_string());
        }
        let shape = self.item_shape.as_ref().filter(|shape| !spec.takes(shape))?;
        Some(format!("items of shape [{}]", dims(shape)))
    }
}

impl OnnxModel {
    /// Reads a model from a file. Weights in separate files are looked for beside it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, OnnxError> {
        let path = path.as_ref();
        let bytes =
            fs::read(path).map_err(|error| OnnxError::Read { file: path.display().to_string(), error })?;
        let file =
            path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
        let folder = path.parent().and_then(Path::to_str).map(str::to_owned);
        Self::read(file, folder, bytes)
    }

    /// Reads a model from the bytes of a file; `file` is what messages call it.
    pub fn from_bytes(file: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Result<Self, OnnxError> {
        Self::read(file.into(), None, bytes.into())
    }

    pub(super) fn read(file: String, folder: Option<String>, bytes: Vec<u8>) -> Result<Self, OnnxError> {
        let not_onnx = |why: String| OnnxError::NotOnnx { file: file.clone(), why };
        let graph = Graph::read(&bytes, folder.as_deref().map(Path::new)).map_err(not_onnx)?;
        let operators = tract_onnx::onnx().op_register.0;
        if let Some(node) = unknown(graph.graph(), &|operator| operators.contains_key(operator)) {
            let (operator, node) = (node.op_type.clone(), node.name.clone());
            return Err(OnnxError::Operator { file, operator, node });
        }
        let constants: HashSet<&str> =
            graph.graph().initializer.iter().map(|constant| constant.name.as_str()).collect();
        let fed = graph.graph().input.iter().filter(|input| !constants.contains(input.name.as_str()));
        let inputs = fed.map(|input| spec(&file, "input", input)).collect::<Result<Vec<_>, _>>()?;
        let outputs = graph.graph().output.iter();
        let outputs = outputs.map(|output| spec(&file, "output", output)).collect::<Result<Vec<_>, _>>()?;
        for input in &inputs {
            match input.shape.first() {
                None => return Err(OnnxError::NoBatch { file, input: input.to_string() }),
                Some(Dim::Fixed(batch)) if *batch != 1 => {
                    return Err(OnnxError::FixedBatch { file, input: input.to_string(), batch: *batch });
                }
                Some(_) => {}
            }
        }
        let hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { file, folder, bytes, hash, inputs, outputs })
    }

    /// The name of its file, without its folder.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The SHA-256 of its file in hexadecimal; weights in separate files are not in it.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What the file says about itself under `key`, such as the characters that a reader of text knows.
    ///
    /// Files are not asked for it often, so each call reads the file's bytes again.
    pub fn metadata(&self, key: &str) -> Option<String> {
        let file = ModelProto::decode(self.bytes.as_slice()).ok()?;
        file.metadata_props.into_iter().find(|property| property.key == key).map(|property| property.value)
    }

    /// What it takes: an [`Item`](crate::engine::Item) has one tensor for each, in this order.
    pub fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    /// What it gives, likewise.
    pub fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    /// Where the input of that name is in an item.
    pub fn input_index(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|input| input.name == name)
    }

    /// Where the output of that name is in an item.
    pub fn output_index(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|output| output.name == name)
    }

    /// Holds what an author declares against the file: every mismatch, none where all is well. `model` is the name in
    /// the workflow. All inputs must be declared; outputs need not be.
    pub fn check(&self, model: &str, inputs: &[Declared], outputs: &[Declared]) -> Vec<ModelMismatch> {
        let mut found = Vec::new();
        for (what, declared, specs) in [("input", inputs, &self.inputs), ("output", outputs, &self.outputs)] {
            for tensor in declared {
                let Some(spec) = specs.iter().find(|spec| spec.name == tensor.name) else {
                    found.push(ModelMismatch::NoSuchTensor {
                        model: model.to_owned(),
                        file: self.file.clone(),
                        what,
                        name: tensor.name.clone(),
                        has: list(specs),
                    });
                    continue;
                };
                if let Some(declared) = tensor.differs(spec) {
                    found.push(ModelMismatch::Differs {
                        model: model.to_owned(),
                        file: self.file.clone(),
                        what,
                        declared,
                        spec: spec.to_string(),
                        item: format!("{}[{}]", spec.dtype, dims(spec.item_shape())),
                    });
                }
            }
        }
        for spec in self.inputs.iter().filter(|spec| inputs.iter().all(|tensor| tensor.name != spec.name)) {
            // A misspelt name is already told; saying that the right one is missing would be the same news twice.
            let misspelt = inputs.iter().any(|tensor| self.input_index(&tensor.name).is_none());
            if !misspelt {
                found.push(ModelMismatch::NotFed {
                    model: model.to_owned(),
                    file: self.file.clone(),
                    spec: spec.to_string(),
                });
            }
        }
        found
    }

    /// The graph again, to be cut.
    pub(super) fn graph(&self) -> Result<Graph, OnnxError> {
        let folder = self.folder.as_deref().map(Path::new);
        Graph::read(&self.bytes, folder).map_err(|why| OnnxError::NotOnnx { file: self.file.clone(), why })
    }

    /// The bytes of its file, for an engine.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where weights in separate files are.
    pub fn folder(&self) -> Option<&str> {
        self.folder.as_deref()
    }
}

impl fmt::Debug for OnnxModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnnxModel({}: {} -> {})", self.file, list(&self.inputs), list(&self.outputs))
    }
}

/// A node of an operator that is not known, in the graph or in graphs inside it.
fn unknown<'a>(graph: &'a GraphProto, is_known: &dyn Fn(&str) -> bool) -> Option<&'a NodeProto> {
    let of_node = |node: &'a NodeProto| match is_known(&node.op_type) {
        true => graphs_of(node).find_map(|graph| unknown(graph, is_known)),
        false => Some(node),
    };
    graph.node.iter().find_map(of_node)
}

fn list(specs: &[TensorSpec]) -> String {
    specs.iter().map(TensorSpec::to_string).collect::<Vec<_>>().join(", ")
}

fn spec(file: &str, what: &'static str, info: &ValueInfoProto) -> Result<TensorSpec, OnnxError> {
    let name = info.name.clone();
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return Err(OnnxError::NoShape { file: file.to_owned(), what, name });
    };
    let dtype = match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Float) => DType::F32,
        Ok(DataType::Int32) => DType::I32,
        Ok(DataType::Int64) => DType::I64,
        Ok(DataType::Uint8) => DType::U8,
        Ok(DataType::Bool) => DType::Bool,
        other => {
            let found = other
                .map_or_else(|_| format!("type {}", tensor.elem_type), |t| t.as_str_name().to_lowercase());
            return Err(OnnxError::Type { file: file.to_owned(), what, name, found });
        }
    };
    let Some(shape) = &tensor.shape else {
        return Err(OnnxError::NoShape { file: file.to_owned(), what, name });
    };
    let dim = |dim: &tract_onnx::pb::tensor_shape_proto::Dimension| match &dim.value {
        Some(dimension::Value::DimValue(len)) if *len >= 0 => Dim::Fixed(*len as usize),
        Some(dimension::Value::DimParam(name)) => Dim::Dynamic(name.clone()),
        _ => Dim::Dynamic(String::new()),
    };
    Ok(TensorSpec { name, dtype, shape: shape.dim.iter().map(dim).collect() })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use tract_onnx::pb::{
        OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto,
        tensor_shape_proto::Dimension,
    };

    fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
        let dim = |len: &i64| Dimension {
            value: Some(match len {
                -1 => dimension::Value::DimParam("N".to_owned()),
                len => dimension::Value::DimValue(*len),
            }),
            ..Dimension::default()
        };
        let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
        let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
        let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..ValueInfoProto::default() }
    }

    /// The bytes of `output = operator(input, constant)`, f32; −1 is the dimension `N`.
    pub(crate) fn model_bytes(
        operator: &str,
        input: &str,
        output: &str,
        shape: &[i64],
        constant: f32,
    ) -> Vec<u8> {
        let c = TensorProto {
            name: "c".to_owned(),
            data_type: DataType::Float as i32,
            float_data: vec![constant],
            ..TensorProto::default()
        };
        let node = NodeProto {
            name: "n".to_owned(),
            op_type: operator.to_owned(),
            input: vec![input.to_owned(), "c".to_owned()],
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        let graph = GraphProto {
            name: "g".to_owned(),
            node: vec![node],
            initializer: vec![c],
            input: vec![value(input, shape)],
            output: vec![value(output, shape)],
            ..GraphProto::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 13 }];
        ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() }
            .encode_to_vec()
    }

    pub(crate) fn model(
        operator: &str,
        input: &str,
        output: &str,
        shape: &[i64],
        constant: f32,
    ) -> Arc<OnnxModel> {
        let bytes = model_bytes(operator, input, output, shape, constant);
        Arc::new(OnnxModel::from_bytes(format!("{operator}.onnx").to_lowercase(), bytes).unwrap())
    }

    #[test]
    fn its_tensors_are_known_by_name_type_and_shape() {
        let model = model("Mul", "picture", "twice", &[-1, 1, 8, 8], 2.0);
        assert_eq!(model.inputs()[0].to_string(), "`picture` f32[N,1,8,8]");
        assert_eq!(model.output_index("twice"), Some(0));
        assert_eq!(model.hash().len(), 64);
        assert_eq!(model.check("light", &[Declared::new("picture").item_shape([1, 8, 8])], &[]), vec![]);
    }

    #[test]
    fn what_a_file_says_about_itself_can_be_asked() {
        let mut file = ModelProto::decode(model_bytes("Mul", "x", "y", &[-1, 2], 2.0).as_slice()).unwrap();
        let property = StringStringEntryProto { key: "character".to_owned(), value: "a\nb".to_owned() };
        file.metadata_props = vec![property];
        let model = OnnxModel::from_bytes("m.onnx", file.encode_to_vec()).unwrap();
        assert_eq!(model.metadata("character").as_deref(), Some("a\nb"));
        assert_eq!(model.metadata("author"), None);
    }

    #[test]
    fn a_wrong_declaration_is_told_what_there_is() {
        let model = model("Mul", "picture", "twice", &[-1, 1, 8, 8], 2.0);
        let told = |inputs: &[Declared], outputs: &[Declared]| -> Vec<String> {
            model.check("light", inputs, outputs).iter().map(ModelMismatch::to_string).collect()
        };
        assert_eq!(
            told(&[Declared::new("imge")], &[Declared::new("picture")]),
            [
                "model `light` (mul.onnx) has no input named `imge`; it has `picture` f32[N,1,8,8]",
                "model `light` (mul.onnx) has no output named `picture`; it has `twice` f32[N,1,8,8]"
            ]
        );
        assert_eq!(
            told(&[Declared::new("picture").item_shape([8, 8])], &[]),
            [
                "model `light` (mul.onnx): its input is `picture` f32[N,1,8,8], but items of shape [8,8] are declared; \
              one item is f32[1,8,8]"
            ]
        );
        assert!(told(&[Declared::new("picture").dtype(DType::U8)], &[])[0].contains("but u8 are declared"));
        assert!(told(&[], &[])[0].contains("also needs the input `picture`"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_reason() {
        let refused = |bytes: Vec<u8>| OnnxModel::from_bytes("m.onnx", bytes).unwrap_err().to_string();
        let good = model_bytes("Mul", "x", "y", &[-1, 2], 2.0);
        assert!(OnnxModel::load("no/such.onnx").unwrap_err().to_string().contains("no/such.onnx"));
        assert!(refused(vec![]).contains("it has no graph"));
        assert!(refused(b"<html>not found</html>".to_vec()).contains("no usable ONNX model"));
        assert!(refused(good[..good.len() / 2].to_vec()).contains("no usable ONNX model"));
        assert!(
            refused(model_bytes("Frobnicate", "x", "y", &[-1, 2], 1.0)).contains("the operator `Frobnicate`")
        );
        assert!(refused(model_bytes("Mul", "x", "y", &[8, 2], 1.0)).contains("a built-in batch of 8"));
        assert!(refused(model_bytes("Mul", "x", "y", &[], 1.0)).contains("has no dimensions"));
    }
}
