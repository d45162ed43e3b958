// Terrain light, the engine's formula, written independently of voxsds/render/light.py so that one checks the other.
// Colours are linear 0..1 and go to the screen as they are: no transfer curve, no tone mapping.

export const SKY = [0.53, 0.81, 0.92]; // also the background
const SUN = [1, 0.97, 0.9];
const HORIZON = [0.18, 0.16, 0.12];
const AMBIENT = 0.55;
const TO_SUN = unit([0.4, 0.85, 0.5]);

// The faces of a block: outward normal, and the colour of a material that they show.
export const FACES = [
  { normal: [1, 0, 0], slot: "side" },
  { normal: [-1, 0, 0], slot: "side" },
  { normal: [0, 1, 0], slot: "top" },
  { normal: [0, -1, 0], slot: "bottom" },
  { normal: [0, 0, 1], slot: "side" },
  { normal: [0, 0, -1], slot: "side" },
];

function unit(v) {
  const length = Math.hypot(...v);
  return v.map((c) => c / length);
}

/** What a face with this normal and albedo looks like: min(1, albedo (ambient + max(n . s, 0) sun)). */
export function lit(normal, albedo) {
  const open = Math.min(1, Math.max(0, normal[1] / 2 + 0.5)); // how much of the sky the face sees
  const sunlit = Math.max(0, normal.reduce((sum, c, i) => sum + c * TO_SUN[i], 0));
  return albedo.map((colour, i) => {
    const ambient = AMBIENT * (HORIZON[i] * (1 - open) + SKY[i] * open);
    return Math.min(1, colour * (ambient + sunlit * SUN[i]));
  });
}

/** RGBA floats of all faces of all materials, a row of six texels a material; row 0 is air. */
export function litTable(materials) {
  const table = new Float32Array(materials.length * FACES.length * 4);
  materials.forEach((material, row) =>
    FACES.forEach(({ normal, slot }, face) => {
      table.set([...lit(normal, material[slot]), 1], (row * FACES.length + face) * 4);
    }),
  );
  return table;
}
