// Rates are differences of totals over the last two seconds; a snapshot that was skipped costs nothing.

import type { GraphView, Snapshot } from './contract';

export const WINDOW_US = 2_000_000;

export interface Rates {
  edges: number[];
  nodesIn: number[];
  nodesOut: number[];
  /** Share of the window in which the node's steps ran; above 1 where it has several workers. */
  nodesBusy: number[];
  devicesBusy: number[];
  devicesItems: number[];
  /** Records per second brought in by all sources. */
  brought: number;
  /** Records per second taken by all sinks. */
  arrived: number;
  faults: number;
}

export const NO_RATES: Rates = {
  edges: [], nodesIn: [], nodesOut: [], nodesBusy: [], devicesBusy: [], devicesItems: [],
  brought: 0, arrived: 0, faults: 0,
};

export function ratesBetween(before: Snapshot, now: Snapshot, graph: GraphView): Rates {
  const span = now.at_us - before.at_us;
  if (span <= 0) return NO_RATES;
  const perSecond = (after: number, earlier: number | undefined) =>
    earlier === undefined ? 0 : Math.max(0, ((after - earlier) * 1e6) / span);
  const share = (after: number, earlier: number | undefined) => perSecond(after, earlier) / 1e6;

  const nodesIn = now.nodes.map((node, i) => perSecond(node.records_in, before.nodes[i]?.records_in));
  const nodesOut = now.nodes.map((node, i) => perSecond(node.records_out, before.nodes[i]?.records_out));
  const ofRole = (rates: number[], role: string) =>
    graph.nodes.reduce((sum, node, i) => sum + (node.role === role ? (rates[i] ?? 0) : 0), 0);

  return {
    edges: now.edges.map((edge, i) => perSecond(edge.records, before.edges[i]?.records)),
    nodesIn,
    nodesOut,
    nodesBusy: now.nodes.map((node, i) => share(node.busy_us, before.nodes[i]?.busy_us)),
    devicesBusy: now.devices.map((device, i) => share(device.busy_us, before.devices[i]?.busy_us)),
    devicesItems: now.devices.map((device, i) => perSecond(device.items, before.devices[i]?.items)),
    brought: ofRole(nodesOut, 'source'),
    arrived: ofRole(nodesIn, 'sink'),
    faults: perSecond(now.faults.total, before.faults.total),
  };
}
