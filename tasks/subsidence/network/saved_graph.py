"""A SavedModel's graph, rewritten so that equal networks give equal bytes.

TensorFlow numbers functions and captured variables by how much a process has traced before, keeps the functions in the
order of a hash table, and adds a random fingerprint. Numbers are replaced by ranks here, functions are sorted, and the
fingerprint, which no reader needs, is left out. What remains depends on the network and the TensorFlow release alone.
"""

import re
from collections.abc import Mapping

from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.core.protobuf.saved_object_graph_pb2 import SavedObjectGraph

_NUMBER = re.compile(r"_(\d+)$")
_ARGUMENT = "_user_specified_name"


def canonical(data: bytes) -> bytes:
    """The content of saved_model.pb in its canonical form; the same graph under other names."""
    model = SavedModel.FromString(data)
    for meta in model.meta_graphs:
        names = _ranked([function.signature.name for function in meta.graph_def.library.function])
        _rename_graph(meta.graph_def, names)
        _rename_objects(meta.object_graph_def, names)
    return model.SerializeToString(deterministic=True)


def _ranked(names: list[str]) -> dict[str, str]:
    """`__inference_serve_37165` -> `__inference_serve_0`, by age."""
    ordered = sorted(names, key=lambda name: int(_NUMBER.search(name).group(1)))
    return {name: _NUMBER.sub(f"_{rank}", name) for rank, name in enumerate(ordered)}


def _rename_graph(graph: GraphDef, names: Mapping[str, str]) -> None:
    functions = graph.library.function
    for node in (*graph.node, *(node for function in functions for node in function.node_def)):
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            if value.HasField("func"):
                value.func.name = names.get(value.func.name, value.func.name)
    for function in functions:
        function.signature.name = names[function.signature.name]
        for argument in function.arg_attr.values():
            if argument.attr[_ARGUMENT].s.isdigit():  # a captured variable, named by its number
                del argument.attr[_ARGUMENT]
    functions.sort(key=lambda function: function.signature.name)


def _rename_objects(objects: SavedObjectGraph, names: Mapping[str, str]) -> None:
    for old in list(objects.concrete_functions):
        objects.concrete_functions[names[old]].CopyFrom(objects.concrete_functions[old])
        if names[old] != old:
            del objects.concrete_functions[old]
    for node in objects.nodes:
        kind = node.WhichOneof("kind")
        if kind == "function":
            node.function.concrete_functions[:] = [names[name] for name in node.function.concrete_functions]
        elif kind == "bare_concrete_function":
            bare = node.bare_concrete_function
            bare.concrete_function_name = names[bare.concrete_function_name]
