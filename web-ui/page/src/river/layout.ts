// Where everything stands: sources left, sinks right, eddies above. Computed once per version of the graph.

import * as dagre from '@dagrejs/dagre';
import type { EdgeView, GraphView, NodeView, Role } from '../live/contract';

export interface Point { x: number; y: number }
export interface Box extends Point { width: number; height: number }
export interface Course { path: string; label: Point; eddy: boolean }
export interface Layout { boxes: Map<number, Box>; courses: Map<number, Course>; bounds: Box }

const SIZES: Record<Role, [width: number, height: number]> = {
  source: [92, 70],
  operator: [92, 70],
  model: [106, 134],
  handler: [136, 104],
  desk: [110, 88],
  feedback: [102, 88],
  sink: [110, 70],
};
/** Room that an edge's figures take between two nodes. */
const FIGURES = { width: 40, height: 34 };
const TWIN_FIGURES = { width: 76, height: 56 };
/** The lowest eddy's distance from what it passes over, and the distance between two eddies. */
const RISE = 52;
const STEP = 46;

export function layOut(graph: GraphView): Layout {
  const { boxes, bends } = placeNodes(graph);
  const courses = new Map<number, Course>();
  for (const edge of graph.edges) {
    const [from, to] = [boxes.get(edge.from), boxes.get(edge.to)];
    if (from && to && !turnsBack(edge, from, to)) {
      courses.set(edge.id, forward(from, to, bends.get(edge.id) ?? [], hasTwin(graph, edge)));
    }
  }
  drawEddies(graph, boxes, courses);
  return { boxes, courses, bounds: boundsOf(boxes, courses) };
}

function placeNodes(graph: GraphView): { boxes: Map<number, Box>; bends: Map<number, Point[]> } {
  const inner = new dagre.graphlib.Graph({ multigraph: true });
  inner.setGraph({ rankdir: 'LR', nodesep: 40, ranksep: 4, edgesep: 24 });
  inner.setDefaultEdgeLabel(() => ({}));
  for (const node of graph.nodes) {
    const [width, height] = sizeOf(node);
    inner.setNode(String(node.id), { width, height });
  }
  const forward = graph.edges.filter((edge) => !edge.back && edge.from !== edge.to);
  for (const edge of forward) {
    // An unnamed way out is the main stream: it is kept straight before others are.
    const label = { ...(hasTwin(graph, edge) ? TWIN_FIGURES : FIGURES), labelpos: 'c', weight: edge.label ? 1 : 4 };
    inner.setEdge(String(edge.from), String(edge.to), label, String(edge.id));
  }
  dagre.layout(inner);

  const bends = new Map(
    forward.map((edge) => {
      const laid = inner.edge(String(edge.from), String(edge.to), String(edge.id)) as { points?: Point[] };
      return [edge.id, laid?.points ?? []] as const;
    }),
  );
  const boxes = new Map(
    graph.nodes.map((node) => {
      const { x, y, width, height } = inner.node(String(node.id)) as Box;
      return [node.id, { x: x - width / 2, y: y - height / 2, width, height }] as const;
    }),
  );
  return { boxes, bends };
}

export function sizeOf(node: NodeView): [number, number] {
  return SIZES[node.role] ?? SIZES.operator;
}

/** Whether another edge runs between the same two nodes. */
function hasTwin(graph: GraphView, edge: EdgeView): boolean {
  return graph.edges.some((other) => other !== edge && other.from === edge.from && other.to === edge.to && !other.back);
}

/** Back edges, and whatever else would run from right to left. */
function turnsBack(edge: EdgeView, from: Box, to: Box): boolean {
  return edge.back || edge.from === edge.to || to.x < from.x + from.width;
}

/** A smooth course from the right side of one to the left side of the other, past what lies between. */
function forward(from: Box, to: Box, bends: Point[], twin: boolean): Course {
  const start = { x: from.x + from.width, y: from.y + from.height / 2 };
  const end = { x: to.x - 5, y: to.y + to.height / 2 };
  // The first and last points lie on the nodes' borders; one in the middle is the label's place.
  const between = bends.slice(1, -1).filter((point) => point.x > start.x + 4 && point.x < end.x - 4);
  // Twins run beside each other; an edge alone between neighbours is straight.
  const points = [start, ...(between.length > 1 || twin ? between : []), end];
  let path = `M${start.x},${start.y}`;
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1]!, points[i]!];
    const middle = (a.x + b.x) / 2;
    path += ` C${middle},${a.y} ${middle},${b.y} ${b.x},${b.y}`;
  }
  const label = between[Math.floor(between.length / 2)];
  return {
    path,
    label: points.length > 2 && label ? label : { x: (start.x + end.x) / 2, y: (start.y + end.y) / 2 },
    eddy: false,
  };
}

/** Draws the eddies above all they pass over, the short ones inside the long ones. */
function drawEddies(graph: GraphView, boxes: Map<number, Box>, courses: Map<number, Course>) {
  const eddies = graph.edges
    .flatMap((edge) => {
      const [from, to] = [boxes.get(edge.from), boxes.get(edge.to)];
      return from && to && turnsBack(edge, from, to) ? [{ edge, from, to }] : [];
    })
    .sort((a, b) => Math.abs(a.from.x - a.to.x) - Math.abs(b.from.x - b.to.x));
  const drawn: { left: number; right: number; top: number }[] = [];
  const starts = new Map<number, number>();
  const ends = new Map<number, number>();

  for (const { edge, from, to } of eddies) {
    // Where several begin or end at one node they stand beside one another.
    const start = from.x + from.width * spread(starts, edge.from, edge.from === edge.to ? 0.7 : 0.5);
    const end = to.x + to.width * spread(ends, edge.to, edge.from === edge.to ? 0.3 : 0.5);
    // Where another node stands above, the eddy rises and falls beside it.
    const rising = clearOf(boxes, start, from, (over) => over.x + over.width + 12, Math.max);
    const falling = clearOf(boxes, end, to, (over) => over.x - 12, Math.min);
    const [left, right] = [Math.min(rising, falling), Math.max(rising, falling)];
    const below = [...boxes.values()].filter((box) => box.x < right && box.x + box.width > left);
    let top = Math.min(from.y, to.y, ...below.map((box) => box.y)) - RISE;
    for (const other of drawn) if (other.left < right && other.right > left) top = Math.min(top, other.top - STEP);
    drawn.push({ left, right, top });

    const turn = Math.min(56, Math.max(18, (right - left) / 2)) * Math.sign(rising - falling || 1);
    const foot = to.y - 5;
    const up = sideways(start, from.y, rising, from.y - SIDE);
    const down = sideways(falling, foot - SIDE, end, foot);
    courses.set(edge.id, {
      path:
        `M${start},${from.y} ${up}C${rising},${top + 8} ${rising - turn * 0.2},${top} ${rising - turn},${top} ` +
        `L${falling + turn},${top} C${falling + turn * 0.2},${top} ${falling},${top + 8} ` +
        (down ? `${falling},${foot - SIDE} ${down}` : `${end},${foot}`),
      label: { x: (rising + falling) / 2, y: top },
      eddy: true,
    });
  }
}

/** Room between two nodes of a column in which an eddy moves sideways. */
const SIDE = 36;

/** Where to rise from `x`: there, or beside the nodes that stand above `self`. */
function clearOf(
  boxes: Map<number, Box>, x: number, self: Box, beside: (over: Box) => number, farthest: (...all: number[]) => number,
): number {
  const above = [...boxes.values()].filter((box) => box !== self && box.y < self.y && box.x - 6 < x && x < box.x + box.width + 6);
  return above.length ? farthest(...above.map(beside)) : x;
}

function sideways(fromX: number, fromY: number, toX: number, toY: number): string {
  const middle = (fromY + toY) / 2;
  return fromX === toX ? '' : `C${fromX},${middle} ${toX},${middle} ${toX},${toY} `;
}

function spread(used: Map<number, number>, node: number, first: number): number {
  const nth = used.get(node) ?? 0;
  used.set(node, nth + 1);
  return nth === 0 ? first : first + (nth % 2 ? 0.16 : -0.16) * Math.ceil(nth / 2);
}

function boundsOf(boxes: Map<number, Box>, courses: Map<number, Course>): Box {
  const all = [...boxes.values()];
  const labels = [...courses.values()].map((course) => course.label);
  const left = Math.min(0, ...all.map((box) => box.x));
  const right = Math.max(0, ...all.map((box) => box.x + box.width));
  const top = Math.min(...all.map((box) => box.y), ...labels.map((label) => label.y - 22));
  const bottom = Math.max(...all.map((box) => box.y + box.height), ...labels.map((label) => label.y + 22));
  return Number.isFinite(top)
    ? { x: left, y: top, width: right - left, height: bottom - top }
    : { x: 0, y: 0, width: 1, height: 1 };
}
