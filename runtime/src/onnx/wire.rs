//! What a file claims, before anything is made of it: whole, not too deeply nested, and not of so many parts that reading them
//! would fill the memory. A part of two bytes in a file can be some hundred bytes in memory.

/// Most parts (nodes, attributes, tensors, shapes and so on) of a file; memory for them is at most about 400 MB.
pub const MOST_PARTS: usize = 1_000_000;
/// How deep graphs may lie in nodes of other graphs.
pub const DEEPEST: usize = 16;

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Info,
    Type,
    TensorType,
    Shape,
    Leaf,
}

/// What the field of a part holds, where that is a part of its own (onnx.proto).
fn inside(part: Part, field: u64) -> Option<Part> {
    use Part::*;
    Some(match (part, field) {
        (Model, 7) | (Training, 1 | 2) | (Attribute, 6 | 11) => Graph,
        (Model, 20) => Training,
        (Model, 25) => Function,
        (Model, 8 | 14) | (Training, 3 | 4) | (Function, 9) | (Graph, 14) | (Tensor, 3 | 13) => Leaf,
        (Graph, 1) | (Function, 7) => Node,
        (Node, 5) => Attribute,
        (Graph, 5) | (Attribute, 5 | 10) | (Sparse, 1 | 2) => Tensor,
        (Graph, 15) | (Attribute, 22 | 23) => Sparse,
        (Graph, 11..=13) => Info,
        (Info, 2) | (Attribute, 15) => Type,
        (Type, 1) => TensorType,
        (TensorType, 2) => Shape,
        (Shape, 1) => Leaf,
        _ => return None,
    })
}

/// Looks through a file without keeping anything of it.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let mut parts = 0;
    // Parts that are still open: what they are, where they end, and how many graphs they lie in.
    let mut open = vec![(Part::Model, bytes.len(), 0)];
    let mut at = 0;
    while let Some(&(part, end, depth)) = open.last() {
        if at == end {
            open.pop();
            continue;
        }
        let key = varint(bytes, &mut at, end)?;
        let len = match key & 7 {
            0 => {
                varint(bytes, &mut at, end)?;
                continue;
            }
            1 => 8,
            2 => varint(bytes, &mut at, end)?,
            5 => 4,
            other => return Err(format!("byte {at} begins a field of type {other}, which no model has")),
        };
        let until =
            usize::try_from(len).ok().and_then(|len| at.checked_add(len)).filter(|until| *until <= end);
        let until = until.ok_or_else(|| format!("at byte {at} it ends within a field of {len} bytes"))?;
        match inside(part, key >> 3).filter(|_| key & 7 == 2) {
            None => at = until,
            Some(inner) => {
                parts += 1;
                let depth = depth + usize::from(inner == Part::Graph);
                if parts > MOST_PARTS {
                    return Err(format!("it has more than {MOST_PARTS} nodes, tensors and other parts"));
                }
                if depth > DEEPEST {
                    return Err(format!("its graphs lie more than {DEEPEST} deep in one another"));
                }
                open.push((inner, until, depth));
            }
        }
    }
    Ok(())
}

fn varint(bytes: &[u8], at: &mut usize, end: usize) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes
            .get(*at)
            .filter(|_| *at < end)
            .ok_or_else(|| format!("at byte {at} it ends within a number"))?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(format!("byte {at} is within a number that is too long"))
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto};

    use super::*;

    fn refused(graph: GraphProto) -> String {
        check(&ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()).unwrap_err()
    }

    fn nested(depth: usize) -> GraphProto {
        (1..depth).fold(GraphProto::default(), |g, _| {
            let attribute = AttributeProto { g: Some(g), ..AttributeProto::default() };
            let node = NodeProto { attribute: vec![attribute], ..NodeProto::default() };
            GraphProto { node: vec![node], ..GraphProto::default() }
        })
    }

    #[test]
    fn many_small_parts_and_deep_nesting_are_refused() {
        let many = GraphProto { node: vec![NodeProto::default(); MOST_PARTS], ..GraphProto::default() };
        assert!(refused(many).contains("more than 1000000 nodes"));
        assert!(refused(nested(DEEPEST + 1)).contains("more than 16 deep"));
        let allowed = ModelProto { graph: Some(nested(DEEPEST)), ..ModelProto::default() };
        assert_eq!(check(&allowed.encode_to_vec()), Ok(()));
    }

    #[test]
    fn a_file_that_ends_early_is_refused() {
        let model = ModelProto { graph: Some(nested(3)), producer_name: "p".into(), ..ModelProto::default() };
        let bytes = model.encode_to_vec();
        assert_eq!(check(&bytes), Ok(()));
        assert!(check(&bytes[..bytes.len() - 1]).unwrap_err().contains("it ends within"));
        assert!(check(&[0x80; 12]).unwrap_err().contains("too long"));
        assert!(check(&[0xff; 3]).unwrap_err().contains("ends within a number"));
        assert!(check(b"<html>").unwrap_err().contains("no model has"));
    }
}
