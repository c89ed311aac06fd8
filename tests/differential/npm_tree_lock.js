// SPDX-License-Identifier: Apache-2.0
// Writes the lock of a tree that `npm install --global --prefix P` made, and fetches its tarballs.
//     node npm_tree_lock.js NPM_FOLDER PREFIX REGISTRY CACHE TARBALLS > lock.json
'use strict'
const path = require('path')
const [npm, prefix, registry, cache, tarballs] = process.argv.slice(2)
const load = name => require(path.join(npm, 'node_modules', name))
const Arborist = load('@npmcli/arborist')
const pacote = load('pacote')

async function entry (node, options) {
  const spec = `${node.packageName}@${node.version}`
  const file = path.join(tarballs, spec.replace(/\//g, '+') + '.tgz')
  const manifest = await pacote.manifest(spec, options)
  const { integrity } = await pacote.tarball.file(spec, file, options)
  return {
    name: node.packageName,
    version: node.version,
    path: node.location,
    digest: String(integrity),
    bins: manifest.bin || {},
    file,
  }
}

// Of several that want one link, the first by path has it.
function settle (packages) {
  const taken = new Set()
  for (const p of packages) {
    const modules = p.path.slice(0, p.path.lastIndexOf('node_modules/'))
    for (const name of Object.keys(p.bins)) {
      if (taken.has(modules + ':' + name)) {
        delete p.bins[name]
      }
      taken.add(modules + ':' + name)
    }
  }
}

async function main () {
  const options = { registry, cache, preferOffline: true, fullMetadata: true, Arborist }
  const tree = await new Arborist({ path: path.join(prefix, 'lib'), global: true }).loadActual()
  const nodes = [...tree.inventory.values()].filter(n => n.location && !n.inBundle)
  const packages = []
  for (let i = 0; i < nodes.length; i += 8) {
    packages.push(...await Promise.all(nodes.slice(i, i + 8).map(n => entry(n, options))))
  }
  packages.sort((a, b) => a.path < b.path ? -1 : a.path > b.path ? 1 : 0)
  settle(packages)
  process.stdout.write(JSON.stringify({ packages, python: '3.11', python_full: '3.11.2' }))
}

main().catch(er => {
  console.error(er)
  process.exitCode = 1
})
