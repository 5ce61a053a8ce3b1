"""The Python method of a row: Mirage's signature, a docstring with shapes, and binding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpkgraph.pipeline import call_site
from mpkgraph.pipeline.layers.call import Kernel
from mpkgraph.pipeline.layers.run import run_layer
from mpkgraph.pipeline.layers.spec import LayerSpec
from mpkgraph.pipeline.refusal import refuse


def method_of(spec: LayerSpec) -> Callable[..., Any]:
    """A function for the class `PersistentKernel`."""

    def method(self: Kernel, *args: Any, **kwargs: Any) -> Any:
        try:
            bound = spec.signature.bind(self, *args, **kwargs)
        except TypeError as error:
            with call_site.doing(spec.method):
                refuse(
                    TypeError,
                    f"{error}",
                    remedy=f"It takes {', '.join(x.name for x in spec.parameters)}",
                    upstream=f"PersistentKernel.{spec.method}(): {error}",
                )
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        del arguments["self"]
        return run_layer(spec, self, arguments)

    method.__name__ = spec.method
    method.__qualname__ = f"PersistentKernel.{spec.method}"
    method.__doc__ = spec.docstring()
    method.__signature__ = spec.signature  # type: ignore[attr-defined]
    return method
