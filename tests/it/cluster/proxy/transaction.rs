//! Tells a transaction that writes from everything else that slotfs asks of etcd, by its bytes (etcd's rpc.proto).

/// Whether a gRPC message is a TxnRequest with a put or a deletion in one of its branches. Other requests have text where a
/// transaction has operations, and text of ours (`/slotfs/...`) is no operation.
pub fn writes(message: &[u8]) -> bool {
    let Some(request) = message.get(5..) else {
        return false;
    };
    branches_write(request).unwrap_or(false)
}

/// Whether a transaction has the key through which every change of a slot goes: it carries such a change, or settles one.
pub fn changes_a_slot(message: &[u8]) -> bool {
    let mark = b"/w/";
    message.windows(mark.len()).any(|it| it == mark)
}

/// TxnRequest: 1 compares, 2 and 3 the operations of its branches.
fn branches_write(request: &[u8]) -> Option<bool> {
    let mut found = false;
    for (number, value) in fields(request)? {
        match (number, value) {
            // A Compare; other requests have a key here.
            (1, Some(compare)) if !compare.starts_with(b"/") => {}
            (2 | 3, Some(operation)) => found |= operation_writes(operation)?,
            _ => return None,
        }
    }
    Some(found)
}

/// RequestOp: 1 a range, 2 a put, 3 a deletion, 4 another transaction.
fn operation_writes(operation: &[u8]) -> Option<bool> {
    let fields = fields(operation)?;
    let [(number, Some(value))] = fields.as_slice() else {
        return None;
    };
    match number {
        1 => Some(false),
        2 | 3 => Some(true),
        4 => branches_write(value),
        _ => None,
    }
}

/// A field's number, and its bytes if it has a length.
type Field<'a> = (u64, Option<&'a [u8]>);

/// The fields of a protobuf message.
fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                None
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Some(value)
            }
            _ => return None,
        };
        fields.push((tag >> 3, value));
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[test]
fn a_transaction_that_writes_is_told_from_others() {
    let field = |number: u8, value: &[u8]| {
        let mut bytes = vec![number << 3 | 2, u8::try_from(value.len()).unwrap()];
        bytes.extend(value);
        bytes
    };
    let message = |request: &[u8]| [&[0; 5][..], request].concat();
    let put = field(2, &field(1, b"/slotfs/a/w/"));
    let range = field(1, &field(1, b"/slotfs/a/w/"));
    let compare = field(1, &field(3, b"/slotfs/a/w/"));
    let nested = field(4, &field(2, &put));
    assert!(writes(&message(&field(2, &put))));
    assert!(writes(&message(
        &[compare.clone(), field(3, &nested)].concat()
    )));
    assert!(!writes(&message(&[compare, field(2, &range)].concat())));
    // RangeRequest: 1 a key, 2 the end of the range.
    let ranged = [field(1, b"/slotfs/a/h/"), field(2, b"/slotfs/a/h0")].concat();
    assert!(!writes(&message(&ranged)));
}
