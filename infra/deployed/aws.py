"""The emulator of AWS, as a program.

Two things are put right, so that the template is deployed as it is:

- A saved query of Logs Insights is a type of resource that the emulator does not know. It is taken as it
  comes: nothing here runs it.
- A parameter of type Number reaches a resource as text there. CloudFormation makes it the number that the
  resource's schema wants; so does this for the one place where the emulator counts with it.
"""

from ministack.app import main
from ministack.services.cloudformation import provisioners


def create(logical_id, properties, stack):
    for name in ("Name", "QueryString"):
        if not isinstance(properties.get(name), str):
            raise ValueError(f"{logical_id}: a saved query without {name}")
    return f"{stack}-{logical_id}", {}


def delete(physical_id, properties):
    pass


provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
    "create": create,
    "delete": delete,
}

mapping = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
create_mapping = mapping["create"]


def create_mapping_with_numbers(logical_id, properties, *more):
    scaling = properties.get("ScalingConfig")
    if scaling:
        limit = int(scaling["MaximumConcurrency"])
        properties = {**properties, "ScalingConfig": {**scaling, "MaximumConcurrency": limit}}
    return create_mapping(logical_id, properties, *more)


mapping["create"] = create_mapping_with_numbers

if __name__ == "__main__":
    main()
