"""Everything that an agent has to tell, in the words of Prometheus."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.metrics.catalogue import AGENT, CLUSTER, PREFIX, REPLSET, Definition
from agent.metrics.counts import Counts
from agent.metrics.figures import Figure, of_cluster

_ORDER: Final = {each.name: (number, each) for number, each in enumerate((*AGENT, *CLUSTER))}


class Exposed(Collector):
    """Gathers what there is whenever somebody asks; keeps nothing.

    ``own`` returns the agent's own figures as they are now.
    """

    def __init__(self, replset: str, counts: Counts, own: Callable[[], Iterable[Figure]]) -> None:
        self._replset = replset
        self._counts = counts
        self._own = own

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that has a value now, each sample with the name of the replica set."""
        view = self._counts.view
        figures = [*self._own(), *(of_cluster(view) if view is not None else ())]
        for family in (*_families(figures), *self._counts.registry.collect()):
            family.samples = [
                sample._replace(labels={REPLSET: self._replset, **sample.labels})
                for sample in family.samples
                # When a counter began says nothing that its reset does not say.
                if not sample.name.endswith("_created")
            ]
            if family.samples:
                yield family


def _families(figures: Sequence[Figure]) -> Iterator[GaugeMetricFamily]:
    """Put figures into families, in the order of the catalogue."""
    ordered = sorted(figures, key=lambda each: _ORDER[each.name][0])
    for name, same in groupby(ordered, key=lambda each: each.name):
        yield _family(_ORDER[name][1], same)


def _family(known: Definition, figures: Iterable[Figure]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + known.name, known.help, labels=known.labels)
    for figure in figures:
        family.add_metric([figure.labels[each] for each in known.labels], figure.value)
    return family
