//! Envoy's foreign functions for expressions: `expr_create`, `expr_evaluate`, `expr_delete`.
//!
//! Tokens belong to a root context and start at 0. An evaluation sees the stream of the running context, even if
//! another is the effective one. (Envoy's source/extensions/common/wasm/foreign.cc)

use super::call::{Call, HostResult};
use crate::abi::Status;
use crate::expression::Expression;
use crate::state::VmState;

pub(super) fn call_foreign_function(
    call: &mut Call<'_, '_>,
    name: u32,
    name_size: u32,
    argument: u32,
    argument_size: u32,
    result_at: u32,
    size_at: u32,
) -> HostResult {
    let name = call.bytes(name, name_size)?;
    let argument = call.bytes(argument, argument_size)?;
    call.fault(&String::from_utf8_lossy(&name))?;
    let result = match &name[..] {
        b"expr_create" => expr_create(call.state(), &argument),
        b"expr_evaluate" => expr_evaluate(call.state(), &argument),
        b"expr_delete" => expr_delete(call.state(), &argument),
        // An unknown function leaves the pointers unchanged; a known one writes them, even if it fails.
        _ => return Err(Status::NotFound.into()),
    };
    let bytes = result.as_deref().unwrap_or_default();
    if result_at != 0 {
        let pointer = call.allocate(bytes)?;
        call.write_u32(result_at, pointer)?;
    }
    if size_at != 0 {
        call.write_u32(size_at, bytes.len() as u32)?;
    }
    Ok(result.map(|_| ())?)
}

/// Creates an expression and returns its token.
fn expr_create(state: &mut VmState, text: &[u8]) -> Result<Vec<u8>, Status> {
    let expression = Expression::parse(text).ok_or(Status::BadArgument)?;
    let root = state.root_of(state.current).ok_or(Status::InternalFailure)?;
    let token = root.next_expression;
    root.next_expression += 1;
    root.expressions.insert(token, expression);
    Ok(token.to_le_bytes().to_vec())
}

/// Evaluates an expression; the value is encoded as for a property read.
fn expr_evaluate(state: &mut VmState, argument: &[u8]) -> Result<Vec<u8>, Status> {
    let current = state.current;
    let token = token(argument)?;
    let root = state.root_of(current).ok_or(Status::InternalFailure)?;
    let expression = root.expressions.get(&token).cloned().ok_or(Status::NotFound)?;
    expression.evaluate(|path| state.property(current, path))?.serialise()
}

fn expr_delete(state: &mut VmState, argument: &[u8]) -> Result<Vec<u8>, Status> {
    let token = token(argument)?;
    let root = state.root_of(state.current).ok_or(Status::InternalFailure)?;
    root.expressions.remove(&token);
    Ok(Vec::new())
}

fn token(argument: &[u8]) -> Result<u32, Status> {
    let bytes = argument.try_into().map_err(|_| Status::BadArgument)?;
    Ok(u32::from_le_bytes(bytes))
}
