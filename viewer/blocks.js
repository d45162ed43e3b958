// Worlds as arrays of material indices, 0 = air; voxel (x, y, z) is at (x Y + y) Z + z.

import { Box3, Vector3 } from "three";

export const CHANGE = { kept: 1, added: 2, repainted: 3, removed: 4 };

const TILE = 32; // voxels, along x and z

/** The blocks of which something is visible, tile by tile of the grid: {box, blocks}, where `blocks` are x, y, z and
 *  64 material + open of each, one after another. Bit i of `open` says that face i (light.js) of a block with
 *  `solid[material]` has a neighbour without, or the outside. */
export function visibleBlocks(blocks, shape, solid) {
  const [X, Y, Z] = shape;
  const tiles = [];
  for (let x = 0; x < X; x += TILE)
    for (let z = 0; z < Z; z += TILE) {
      const box = new Box3(new Vector3(x, 0, z), new Vector3(Math.min(X, x + TILE), Y, Math.min(Z, z + TILE)));
      tiles.push({ box, blocks: visibleIn(box, blocks, shape, solid) });
    }
  return tiles;
}

function visibleIn({ min, max }, blocks, [X, Y, Z], solid) {
  const found = new Growing();
  const [sx, sy] = [Y * Z, Z];
  for (let x = min.x; x < max.x; x++)
    for (let y = 0; y < Y; y++)
      for (let z = min.z, i = (x * Y + y) * Z + z; z < max.z; z++, i++) {
        const material = blocks[i];
        if (!solid[material]) continue;
        let open = 0;
        if (x === X - 1 || !solid[blocks[i + sx]]) open |= 1;
        if (x === 0 || !solid[blocks[i - sx]]) open |= 2;
        if (y === Y - 1 || !solid[blocks[i + sy]]) open |= 4;
        if (y === 0 || !solid[blocks[i - sy]]) open |= 8;
        if (z === Z - 1 || !solid[blocks[i + 1]]) open |= 16;
        if (z === 0 || !solid[blocks[i - 1]]) open |= 32;
        if (open) found.push(x, y, z, 64 * material + open);
      }
  return found.trimmed();
}

/** Those of `blocks` whose face `face` is open: x, y, z, material of each. */
export function openFaces(blocks, face) {
  const found = new Growing();
  for (let i = 0; i < blocks.length; i += 4)
    if ((blocks[i + 3] >> face) & 1) found.push(blocks[i], blocks[i + 1], blocks[i + 2], blocks[i + 3] >> 6);
  return found.trimmed();
}

class Growing {
  constructor() {
    this.array = new Uint32Array(4096);
    this.length = 0;
  }
  push(a, b, c, d) {
    if (this.length + 4 > this.array.length) {
      const larger = new Uint32Array(2 * this.array.length);
      larger.set(this.array);
      this.array = larger;
    }
    this.array[this.length++] = a;
    this.array[this.length++] = b;
    this.array[this.length++] = c;
    this.array[this.length++] = d;
  }
  trimmed() {
    return this.array.slice(0, this.length);
  }
}

/** What became of each voxel, as a CHANGE, 0 where there is and was nothing; and how often each. */
export function differences(before, after) {
  const fate = new Uint8Array(before.length);
  const counts = { kept: 0, added: 0, repainted: 0, removed: 0 };
  for (let i = 0; i < before.length; i++) {
    const [was, is] = [before[i], after[i]];
    if (!was && !is) continue;
    const name = !was ? "added" : !is ? "removed" : was === is ? "kept" : "repainted";
    fate[i] = CHANGE[name];
    counts[name]++;
  }
  return { fate, counts };
}
