//! What the tenant's directory says of what is stored. Everybody in it counts as in scope.

use std::collections::BTreeMap;

use rollcall_core::ids::ObjectId;
use rollcall_core::status::{Status, StoredUser};

use crate::{Problem, World, object_id};

/// Who was on before and is not after.
#[must_use]
pub fn switched_off(
    before: &BTreeMap<ObjectId, StoredUser>,
    after: &BTreeMap<ObjectId, StoredUser>,
) -> Vec<ObjectId> {
    let was_on = before.values().filter(|user| user.status == Status::Active);
    was_on
        .filter(|user| {
            after
                .get(&user.id)
                .is_none_or(|it| it.status != Status::Active)
        })
        .map(|user| user.id.clone())
        .collect()
}

/// Somebody among these who belongs.
///
/// # Errors
/// None of its own.
pub fn wrongly_off(world: &World, off: &[ObjectId]) -> Result<Option<ObjectId>, Problem> {
    let directory = world.tenant.directory();
    for user in directory.users() {
        let id = object_id(user.id)?;
        if user.account_enabled == Some(true) && off.contains(&id) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// In what the directory differs from the tenant.
///
/// # Errors
/// None of its own.
pub fn differs(
    world: &World,
    stored: &BTreeMap<ObjectId, StoredUser>,
) -> Result<Option<String>, Problem> {
    let directory = world.tenant.directory();
    let mut active = 0;
    for user in directory.users() {
        let id = object_id(user.id)?;
        let is_on = user.account_enabled == Some(true);
        active += usize::from(is_on);
        let Some(it) = stored.get(&id) else {
            return Ok(Some(format!("{id} is missing")));
        };
        if (it.status == Status::Active) != is_on
            || it.user_principal_name != user.user_principal_name
            || it.display_name != user.display_name
        {
            return Ok(Some(format!("{id} is not as the tenant has it")));
        }
    }
    let stored_active = stored
        .values()
        .filter(|it| it.status == Status::Active)
        .count();
    let difference = format!("{stored_active} are on, {active} should be");
    Ok((stored_active != active).then_some(difference))
}
