"""Functions in LLVM's language, as machine code for this processor; no compiler is needed.

llvmlite brings LLVM along. The inner loops that neither torch nor numpy has are compiled at their
first use, in some hundredths of a second.
"""

from __future__ import annotations

from functools import cache
from typing import Any

# Engines whose functions may be running. A cache alone would not keep them: of two threads that
# compile at the same time, it forgets one's engine while that thread still calls its function.
_ALIVE: list[Any] = []


@cache
def features() -> frozenset[str]:
    """What this processor can do, as LLVM names it; nothing where LLVM cannot be loaded."""
    try:
        import llvmlite.binding as llvm

        return frozenset(name for name, has in llvm.get_host_cpu_features().items() if has)
    except (ImportError, RuntimeError, OSError):
        return frozenset()


def compiled(*assemblies: str, improved: bool = False) -> Any:
    """Compile and link; keeps the machine code until the process ends.

    Args:
        assemblies: Modules in LLVM assembly.
        improved: Whether LLVM also inlines, unrolls and simplifies; not needed where the assembly
            is written as it should run.

    Returns:
        llvmlite's engine, whose ``get_function_address`` gives the functions.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(assemblies[0])
    for assembly in assemblies[1:]:
        module.link_in(llvm.parse_assembly(assembly))
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    if improved:
        tuning = llvm.create_pipeline_tuning_options(speed_level=2)
        tuning.loop_vectorization = tuning.slp_vectorization = False
        builder = llvm.create_pass_builder(machine, tuning)
        builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _ALIVE.append(engine)
    return engine
