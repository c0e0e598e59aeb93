// Prints React as ES modules, one text per package: it comes as CommonJS alone, which browsers do not load.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const folder = join(process.cwd(), "node_modules");
const require = createRequire(join(folder, "react", "index.js"));
const packages = ["react", "react/jsx-runtime", "react-dom", "react-dom/client", "scheduler"];

function asModule(name) {
  const [folderName, part] = name.split("/");
  const file = `${part ? `${folderName}-${part}` : folderName}.production.js`;
  const source = readFileSync(join(folder, folderName, "cjs", file), "utf-8");
  const needed = packages.filter((other) => source.includes(`require("${other}")`));
  const imports = needed.map((other, at) => `import m${at} from "${other}";`).join("\n");
  const table = needed.map((other, at) => `"${other}": m${at}`).join(", ");
  const names = Object.keys(require(name)).filter((key) => /^[A-Za-z]\w*$/.test(key) && key !== "default");
  return `${imports}
const module = { exports: {} }, packages = { ${table} };
(function (module, exports, require) {${source}
})(module, module.exports, (name) => packages[name]);
export const { ${names.join(", ")} } = module.exports;
export default module.exports;`;
}

console.log(JSON.stringify(Object.fromEntries(packages.map((name) => [name, asModule(name)]))));
