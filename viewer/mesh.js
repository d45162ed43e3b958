// Blocks as three.js meshes: one quad a visible face, of one flat colour each. Faces are not merged: where a
// large quad's edge runs along corners of small ones, pixels between them would show the sky.

import {
  BufferAttribute,
  BufferGeometry,
  DataTexture,
  DoubleSide,
  FloatType,
  FrontSide,
  Frustum,
  GLSL3,
  Group,
  Matrix4,
  Mesh,
  NearestFilter,
  Points,
  RGBAFormat,
  RawShaderMaterial,
  Vector3,
} from "three";
import { openFaces } from "./blocks.js";
import { FACES, litTable } from "./light.js";

const NEAR_FACES = 20_000; // that a quick picture draws
const DOT = 1.2; // side of a dot, in blocks: one that is seen across its edge is wider than its side

const QUAD_VERTEX = `
precision highp float;
uniform mat4 modelViewMatrix, projectionMatrix;
uniform highp sampler2D lit;
uniform int face;
in vec4 position; // x, y, z of a corner, material
flat out vec3 colour;
void main() {
  colour = texelFetch(lit, ivec2(face, int(position.w)), 0).rgb;
  gl_Position = projectionMatrix * (modelViewMatrix * vec4(position.xyz, 1.0));
}`;
// The faces of a block that look at the eye, mixed by how much of the picture each takes.
const DOT_VERTEX = `
precision highp float;
uniform mat4 modelViewMatrix, projectionMatrix;
uniform highp sampler2D lit;
uniform vec3 eye; // in the grid
uniform float side; // pixels, at distance 1
in uvec4 position; // x, y, z of a block, 64 material + open
flat out vec3 colour;
void main() {
  vec3 middle = vec3(position.xyz) + 0.5, ahead = eye - middle;
  int open = int(position.w & 63u), material = int(position.w >> 6u);
  vec4 sum = vec4(0.0);
  for (int axis = 0; axis < 3; axis++) {
    int face = 2 * axis + (ahead[axis] > 0.0 ? 0 : 1);
    if (((open >> face) & 1) == 1) sum += abs(ahead[axis]) * vec4(texelFetch(lit, ivec2(face, material), 0).rgb, 1.0);
  }
  colour = sum.rgb / max(sum.w, 1e-6);
  gl_Position = sum.w > 0.0 ? projectionMatrix * (modelViewMatrix * vec4(middle, 1.0)) : vec4(0.0, 0.0, 2.0, 1.0);
  gl_PointSize = max(1.0, side / gl_Position.w);
}`;
const FRAGMENT = `
precision highp float;
uniform float alpha;
flat in vec3 colour;
out vec4 pixel;
void main() { pixel = vec4(colour, alpha); }`;

/** Corners of a unit block's face, anticlockwise as seen from outside. */
function corners(normal) {
  const axis = normal.findIndex((c) => c !== 0);
  const square = [[0, 0], [1, 0], [1, 1], [0, 1]]; // prettier-ignore
  if (normal[axis] < 0) square.reverse();
  return square.map(([a, b]) => {
    const corner = [0, 0, 0];
    corner[axis] = normal[axis] > 0 ? 1 : 0;
    corner[(axis + 1) % 3] = a;
    corner[(axis + 2) % 3] = b;
    return corner;
  });
}

/** Four vertices a face: x, y, z, material of each. */
function vertices(faces, normal) {
  const array = new Uint16Array(4 * faces.length);
  const square = corners(normal);
  for (let i = 0, to = 0; i < faces.length; i += 4)
    for (const [x, y, z] of square) {
      array[to++] = faces[i] + x;
      array[to++] = faces[i + 1] + y;
      array[to++] = faces[i + 2] + z;
      array[to++] = faces[i + 3];
    }
  return array;
}

/** Two triangles a face. */
function triangles(count) {
  const array = new Uint32Array(6 * count);
  for (let i = 0, to = 0; i < 4 * count; i += 4) {
    array[to++] = i;
    array[to++] = i + 1;
    array[to++] = i + 2;
    array[to++] = i;
    array[to++] = i + 2;
    array[to++] = i + 3;
  }
  return array;
}

/** Blocks of certain materials. A tile of the world has a mesh a direction of its faces, and one of dots, a block
 *  each: without a GPU a picture costs what its triangles do, hardly anything for its pixels, and dots are fewer. */
export class BlockMesh extends Group {
  constructor(materials, alpha = 1) {
    super();
    const table = new DataTexture(litTable(materials), FACES.length, materials.length, RGBAFormat, FloatType);
    table.magFilter = table.minFilter = NearestFilter;
    table.needsUpdate = true;
    this.eye = new Vector3();
    this.side = { value: 1 };
    const shared = { lit: { value: table }, alpha: { value: alpha }, eye: { value: this.eye }, side: this.side };
    const material = (vertexShader, face) =>
      new RawShaderMaterial({
        glslVersion: GLSL3,
        vertexShader,
        fragmentShader: FRAGMENT,
        uniforms: { ...shared, face: { value: face } },
        transparent: alpha < 1,
        depthWrite: alpha === 1,
        side: alpha < 1 ? DoubleSide : FrontSide,
      });
    this.quadMaterials = FACES.map((_, face) => material(QUAD_VERTEX, face));
    this.dotMaterial = material(DOT_VERTEX, 0);
    this.update([]);
  }

  /** Shows `tiles`, as visibleBlocks gives them. */
  update(tiles) {
    for (const mesh of this.children) mesh.geometry.dispose();
    this.clear();
    this.tiles = tiles.map(({ box, blocks }) => {
      const dots = new Points(geometry(blocks), this.dotMaterial);
      this.add(dots);
      return { box, dots, sides: this.sides(blocks) };
    });
    for (const mesh of this.children) mesh.frustumCulled = false; // `choose` does it, for a tile at once
    this.count = this.tiles.flatMap(({ sides }) => sides).reduce((sum, { count }) => sum + count, 0);
  }

  /** Of the directions in which a tile has faces: where these begin and end, their number and mesh. */
  sides(blocks) {
    return FACES.flatMap(({ normal }, face) => {
      const faces = openFaces(blocks, face);
      if (!faces.length) return [];
      const [axis, count] = [normal.findIndex((c) => c !== 0), faces.length / 4];
      let [low, high] = [Infinity, -Infinity];
      for (let i = axis; i < faces.length; i += 4) {
        low = Math.min(low, faces[i]);
        high = Math.max(high, faces[i]);
      }
      const quads = new Mesh(geometry(vertices(faces, normal), triangles(count)), this.quadMaterials[face]);
      this.add(quads);
      return { axis, sign: normal[axis], low, high, count, quads };
    });
  }

  /** Leaves out tiles outside the view and directions that turn their back on the eye. In a `quick` picture only
   *  the nearest NEAR_FACES faces or so are drawn, and dots from there on; it is `height` pixels high. */
  choose(camera, height, quick) {
    this.eye.setFromMatrixPosition(camera.matrixWorld).applyMatrix4(this.matrixWorld.clone().invert());
    this.side.value = (DOT * this.matrixWorld.getMaxScaleOnAxis() * camera.projectionMatrix.elements[5] * height) / 2;
    for (const mesh of this.children) mesh.visible = false;
    const seen = this.seen(camera);
    if (quick) seen.sort((a, b) => a.box.distanceToPoint(this.eye) - b.box.distanceToPoint(this.eye));
    let left = quick ? NEAR_FACES : Infinity;
    for (const { dots, sides } of seen) {
      const facing = sides.filter((side) => isFacing(side, this.eye));
      left -= facing.reduce((sum, { count }) => sum + count, 0);
      if (left < 0) dots.visible = facing.length > 0;
      else for (const { quads } of facing) quads.visible = true;
    }
  }

  /** The tiles that are in the view. */
  seen(camera) {
    const view = new Matrix4().multiplyMatrices(camera.projectionMatrix, camera.matrixWorldInverse);
    const frustum = new Frustum().setFromProjectionMatrix(view.multiply(this.matrixWorld));
    return this.tiles.filter(({ box }) => frustum.intersectsBox(box));
  }
}

function isFacing({ axis, sign, low, high }, eye) {
  const at = eye.getComponent(axis);
  return sign > 0 ? at > low + 1 : at < high;
}

function geometry(positions, index) {
  const made = new BufferGeometry();
  made.setAttribute("position", new BufferAttribute(positions, 4));
  if (index) made.setIndex(new BufferAttribute(index, 1));
  return made;
}
