//! The properties of `microsoft.graph.user`, and what `$select` makes of them.

use crate::answer::GraphError;

/// What a user is answered with when nothing is selected. `accountEnabled` is not among them.
/// Source: "user resource type", section "Properties", of the Graph v1.0 reference.
const DEFAULT: [&str; 11] = [
    "businessPhones",
    "displayName",
    "givenName",
    "jobTitle",
    "mail",
    "mobilePhone",
    "officeLocation",
    "preferredLanguage",
    "surname",
    "userPrincipalName",
    "id",
];

/// The collections among the properties that can be selected: empty where the others are null.
const COLLECTIONS: [&str; 10] = [
    "assignedLicenses",
    "assignedPlans",
    "businessPhones",
    "identities",
    "imAddresses",
    "licenseAssignmentStates",
    "onPremisesProvisioningErrors",
    "otherMails",
    "provisionedPlans",
    "proxyAddresses",
];

/// The other properties that the directory itself stores (those from Exchange and SharePoint cannot
/// be selected in a list). Source: the CSDL of Graph v1.0, `microsoft.graph.user`.
const SINGLE: [&str; 54] = [
    "accountEnabled",
    "ageGroup",
    "authorizationInfo",
    "city",
    "companyName",
    "consentProvidedForMinor",
    "country",
    "createdDateTime",
    "creationType",
    "customSecurityAttributes",
    "deletedDateTime",
    "department",
    "displayName",
    "employeeHireDate",
    "employeeId",
    "employeeLeaveDateTime",
    "employeeOrgData",
    "employeeType",
    "externalUserState",
    "externalUserStateChangeDateTime",
    "faxNumber",
    "givenName",
    "id",
    "isManagementRestricted",
    "isResourceAccount",
    "jobTitle",
    "lastPasswordChangeDateTime",
    "legalAgeGroupClassification",
    "mail",
    "mailNickname",
    "mobilePhone",
    "officeLocation",
    "onPremisesDistinguishedName",
    "onPremisesDomainName",
    "onPremisesExtensionAttributes",
    "onPremisesImmutableId",
    "onPremisesLastSyncDateTime",
    "onPremisesSamAccountName",
    "onPremisesSecurityIdentifier",
    "onPremisesSyncEnabled",
    "onPremisesUserPrincipalName",
    "passwordPolicies",
    "postalCode",
    "preferredDataLocation",
    "preferredLanguage",
    "securityIdentifier",
    "showInAddressList",
    "signInSessionsValidFromDateTime",
    "state",
    "streetAddress",
    "surname",
    "usageLocation",
    "userPrincipalName",
    "userType",
];

/// Directory extensions are properties as well, under names of their application's making.
const EXTENSION_PREFIX: &str = "extension_";

/// Whether an unset value of the property is an empty list.
pub(crate) fn is_collection(name: &str) -> bool {
    COLLECTIONS.contains(&name)
}

/// The default properties.
pub(crate) fn default_set() -> Vec<String> {
    DEFAULT.iter().map(|&name| name.to_owned()).collect()
}

/// The properties that a `$select` names, each once, in its order.
pub(crate) fn selected(raw: &str) -> Result<Vec<String>, GraphError> {
    let mut names: Vec<String> = Vec::new();
    for name in raw.split(',').map(str::trim) {
        let known = SINGLE.contains(&name)
            || COLLECTIONS.contains(&name)
            || name.starts_with(EXTENSION_PREFIX);
        if !known {
            return Err(GraphError::new(
                400,
                "BadRequest",
                format!(
                    "Parsing OData Select and Expand failed: Could not find a property named \
                     '{name}' on type 'microsoft.graph.user'."
                ),
            ));
        }
        if !names.iter().any(|seen| seen == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
