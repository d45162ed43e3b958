// Worlds as arrays of material indices, 0 = air; voxel (x, y, z) is at (x Y + y) Z + z.

export const CHANGE = { kept: 1, added: 2, repainted: 3, removed: 4 };

/** The visible faces of blocks, for each of the six directions: x, y, z, material of each, one after another.
 *  Visible is a face of a block with `solid[material]` towards a neighbour without, or towards the outside. */
export function visibleFaces(blocks, [X, Y, Z], solid) {
  const found = Array.from({ length: 6 }, () => new Growing());
  const [sx, sy] = [Y * Z, Z];
  for (let x = 0, i = 0; x < X; x++)
    for (let y = 0; y < Y; y++)
      for (let z = 0; z < Z; z++, i++) {
        const material = blocks[i];
        if (!solid[material]) continue;
        if (x === X - 1 || !solid[blocks[i + sx]]) found[0].push(x, y, z, material);
        if (x === 0 || !solid[blocks[i - sx]]) found[1].push(x, y, z, material);
        if (y === Y - 1 || !solid[blocks[i + sy]]) found[2].push(x, y, z, material);
        if (y === 0 || !solid[blocks[i - sy]]) found[3].push(x, y, z, material);
        if (z === Z - 1 || !solid[blocks[i + 1]]) found[4].push(x, y, z, material);
        if (z === 0 || !solid[blocks[i - 1]]) found[5].push(x, y, z, material);
      }
  return found.map((faces) => faces.trimmed());
}

class Growing {
  constructor() {
    this.array = new Uint16Array(4096);
    this.length = 0;
  }
  push(a, b, c, d) {
    if (this.length + 4 > this.array.length) {
      const larger = new Uint16Array(2 * this.array.length);
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
