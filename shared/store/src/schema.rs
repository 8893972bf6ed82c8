//! The two tables, as the local stack and the tests make them. A deployed stack gets the same from
//! its template.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
};

use crate::error::{StoreError, from_sdk};
use crate::layout::SCHEMA;
use crate::standings::STANDING;
use crate::{Store, Table};

/// The index by login name, on the directory.
pub const LOGIN_INDEX: &str = "login";

/// The index that the directory is streamed by.
pub const STANDING_INDEX: &str = "standing";

fn key_element(name: &str, kind: KeyType) -> Result<KeySchemaElement, StoreError> {
    KeySchemaElement::builder()
        .attribute_name(name)
        .key_type(kind)
        .build()
        .map_err(|e| StoreError::Invalid(e.to_string()))
}

fn string_attribute(name: &str) -> Result<AttributeDefinition, StoreError> {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(ScalarAttributeType::S)
        .build()
        .map_err(|e| StoreError::Invalid(e.to_string()))
}

fn login_index() -> Result<GlobalSecondaryIndex, StoreError> {
    let projection = Projection::builder().projection_type(ProjectionType::KeysOnly);
    GlobalSecondaryIndex::builder()
        .index_name(LOGIN_INDEX)
        .key_schema(key_element("login", KeyType::Hash)?)
        .projection(projection.build())
        .build()
        .map_err(|e| StoreError::Invalid(e.to_string()))
}

/// Its keys are the table's own, so a user stays where he is in it, and a write of him costs one more
/// unit at most.
fn standing_index() -> Result<GlobalSecondaryIndex, StoreError> {
    let projection = Projection::builder()
        .projection_type(ProjectionType::Include)
        .non_key_attributes(SCHEMA)
        .non_key_attributes(STANDING);
    GlobalSecondaryIndex::builder()
        .index_name(STANDING_INDEX)
        .key_schema(key_element("pk", KeyType::Hash)?)
        .key_schema(key_element("sk", KeyType::Range)?)
        .projection(projection.build())
        .build()
        .map_err(|e| StoreError::Invalid(e.to_string()))
}

impl Store {
    /// Makes the tables that are not there yet.
    ///
    /// # Errors
    /// [`StoreError`] as DynamoDB answers; a table that is there already is no error.
    pub async fn create_tables(&self) -> Result<(), StoreError> {
        for table in [Table::Directory, Table::Coordination] {
            let mut request = self
                .client
                .create_table()
                .table_name(self.table(table))
                .billing_mode(BillingMode::PayPerRequest)
                .attribute_definitions(string_attribute("pk")?)
                .attribute_definitions(string_attribute("sk")?)
                .key_schema(key_element("pk", KeyType::Hash)?)
                .key_schema(key_element("sk", KeyType::Range)?);
            if table == Table::Directory {
                request = request
                    .attribute_definitions(string_attribute("login")?)
                    .global_secondary_indexes(login_index()?)
                    .global_secondary_indexes(standing_index()?);
            }
            match request.send().await {
                Ok(_) if table == Table::Coordination => self.enable_ttl().await?,
                Ok(_) => {}
                Err(error) => {
                    let exists = error
                        .as_service_error()
                        .is_some_and(|e| e.is_resource_in_use_exception());
                    if !exists {
                        return Err(from_sdk(&error));
                    }
                }
            }
        }
        Ok(())
    }

    /// What belongs to a run expires by its `ttl`; the code deletes nothing.
    async fn enable_ttl(&self) -> Result<(), StoreError> {
        let specification = TimeToLiveSpecification::builder()
            .attribute_name("ttl")
            .enabled(true)
            .build()
            .map_err(|e| StoreError::Invalid(e.to_string()))?;
        self.client
            .update_time_to_live()
            .table_name(self.table(Table::Coordination))
            .time_to_live_specification(specification)
            .send()
            .await
            .map_err(|e| from_sdk(&e))?;
        Ok(())
    }
}
