//! Cutting writes into transactions by their size.

use rollcall_core::status::StoredUser;

use crate::users::UserWrite;

/// The most bytes of users that one transaction takes. DynamoDB takes 4 MB; the rest is for names
/// of attributes and for what the estimate misses.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
const TRANSACTION_BYTES_MAX: usize = 3_000_000;
/// What a user takes beside his own texts: keys, times, hash, names of attributes.
const USER_BYTES: usize = 600;

/// The writes in groups that each fit in one transaction. A write that is too large for any stands
/// alone, and DynamoDB says so.
pub(crate) fn groups(writes: &[UserWrite]) -> Vec<&[UserWrite]> {
    let mut groups = Vec::new();
    let mut rest = writes;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|write| {
            bytes += weight(write);
            bytes <= TRANSACTION_BYTES_MAX
        });
        let (group, after) = rest.split_at(fitting.count().max(1));
        groups.push(group);
        rest = after;
    }
    groups
}

/// A before-image is JSON, in which a text can double by its escapes.
fn weight(write: &UserWrite) -> usize {
    let before = write.before.as_ref().map_or(0, |before| 2 * texts(before));
    2 * USER_BYTES + texts(&write.after) + before
}

fn texts(user: &StoredUser) -> usize {
    let fields = [
        &user.user_principal_name,
        &user.mail,
        &user.display_name,
        &user.user_type,
    ];
    let fields: usize = fields.into_iter().flatten().map(String::len).sum();
    let attributes = user.attributes.iter();
    fields
        + attributes
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>()
}
