// SPDX-License-Identifier: Apache-2.0
// Writes fixtures/npm/semver.tsv: what npm's own semver says about versions and ranges.
//
//   node npm_semver_table.js PATH-OF-NPM/node_modules/semver > semver.tsv
//
// Lines (tab separated, "-" where it is not one):
//   v  TEXT  strict-normal-form  loose-normal-form  rank among the loose ones
//   r  TEXT  strict-normal-form  loose-normal-form  with-prereleases-normal-form  HEX HEX HEX
// each HEX has one bit per version, in order, first version in the highest bit of the first
// digit: strict, loose, and strict with pre-releases.
const semver = require(process.argv[2])

let seed = 20240611
const random = n => {
  seed = (seed * 1103515245 + 12345) % 2147483648
  return Math.floor(seed / 65536) % n
}
const one = list => list[random(list.length)]

const versions = `0.0.0 0.0.0-0 0.0.1 0.0.1-alpha 0.0.2 0.0.3-0 0.1.0 0.1.0-beta.2 0.1.5 0.2.0 0.2.3 0.2.9
0.3.0-0 0.3.0 0.9.9 1.0.0-0 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11
1.0.0-rc.1 1.0.0 1.0.0+build.5 1.0.1 1.0.10 1.1.0-pre 1.1.0 1.1.9 1.2.0-0 1.2.0 1.2.1 1.2.2 1.2.3-0 1.2.3-a
1.2.3-alpha.1 1.2.3-b.1 1.2.3 1.2.4-b.2 1.2.4 1.2.9 1.2.34 1.3.0-0 1.3.0 1.9.9 1.10.0 2.0.0-0 2.0.0-rc.1
2.0.0 2.0.1 2.1.0 2.2.2 2.3.4-beta 2.3.4 2.3.5 2.4.0-0 2.4.0 3.0.0-0 3.0.0-alpha 3.0.0 3.1.4 3.4.5 3.5.0-0
4.0.0 4.17.21 5.0.0-next.9 5.0.0 7.0.0-canary-1.20 9.9.9 10.0.0 10.1.0-pre 12.22.1 14.17.0 16.0.0-pre 16.20.2
18.0.0 18.20.8 19.0.0-rc-69d4b800-20241021 20.20.2 21.0.0 22.0.0-nightly20240101 100.0.0 1.0.0-1e5 1.0.0--
1.2.3--x 9007199254740991.0.0 1.2.3-9007199254740991 1.2.3-9007199254740990
v1.2.3 =1.2.3 1.0.0beta 1.0.0beta.2 01.02.03 1.2.3.4 1.2.34.5 1.2.3-01 1.2 1 v =v1.4.2-x 1.2.3-a..b 1.2.3- 1.2.3+ 1.2.3+a+b
a.b.c 1.2.x 1.0.0-_ 9007199254740992.0.0 1.-1.0 1.2.3-é`.split(/\s+/)
  .concat(['', ' 1.2.3 ', 'v 1.2.3', '= 1.2.3', '1. 2.3'])

const ranges = ['', '*', ' * ', 'x', 'X', 'latest', '1', '1.x', '1.X.x', '1.2', '1.2.*', '1.2.x', '1.*.3',
  'x.1', '*.1.2', '1.x.0-a', '1.2.x-beta', '1.2.3', 'v1.2.3', '=1.2.3', '= 1.2.3', '==1.2.3', '=v1.2.3', '>1', '>=1',
  '<1', '<=1', '>1.2', '>=1.2', '<1.2', '<=1.2', '>1.2.3', '>=1.2.3', '<1.2.3', '<=1.2.3', '> 1.2.3', '>=  1.2.3',
  '>*', '<*', '>=*', '<=*', '>x.y', '>=1.2.3-b.1', '<1.2.3-b.1', '>1.2.3-a <1.2.4', '^1', '^1.2', '^1.2.3', '^0',
  '^0.2', '^0.2.3', '^0.0', '^0.0.3', '^0.0.1-alpha', '^0.1.0-beta.1', '^1.2.3-b.1', '^1.0.0-0', '^x', '^*', '^1.x',
  '^1.x.x', '^0.x', '^0.0.x', '^ 1.2.3', '^v1.2.3', '^=1.2.3', '^00.1.2', '~1', '~1.2', '~1.2.3', '~0', '~0.0.1',
  '~1.2.3-a', '~>1', '~>1.2', '~> 1.2.3', '~ 1', '~>=1', '~x', '~1.x', '~v1.2', '~ > 1.2', '1 - 2', '1.2.3 - 2',
  '1.2 - 3.4.5', '1.2.3 - 2.3', '1.2.3 - 2.3.4-beta', '1.2.3-a - 2.3.4', '* - 2', '1 - *', 'v1 - v2', '=1 - =2',
  '1.2.3  -  2.3.4', '1.2.3 -2.3.4', '1.2.3- 2.3.4', '1 - 2 || 3', '1 - 2 3', '1||2', '1 || 2', '1 || || 2', '||', '|',
  '1 | 2', '>1 <2', '>=1 <2 || >=3', '^1 ^2', '>2 <1', '<0.0.0', '<0.0.0-0', '>=0.0.0', '>=0.0.0-0', '>= 0.0.0',
  '* || 1.0.0-alpha', '1.0.0-alpha || *', '>=1 *', '* >=1', '1.2.3.4', '1.2.3.4 || 2', '>=1 1.2.3.4', '1.2.34.5', '01.02.03', '>01',
  '^01.2', '1.0.0beta', '>=1.0.0beta <2', '1.2.3+build', '>=1.2.3+a.b <2+c', '^1.2.3+x', '~1.2+x', '1.2.3 +x', 'foo', 'foo || 1',
  '>foo', '^foo', '~foo', 'foo*', '1.2.foo', '1.2.3foo', '1.2.3-foo bar', '>=1.2.3 foo', 'git://x', 'a/b', '>=', '<', '=', '~', '^', '~>', '> ',
  '>= 1 < 2', '>=1<2', '>1.2.3<2', '>=16.0.0 || ^14.17', '^14.18.0 || ^16.10.0 || >=17.0.0', '>= 0.8', '>=0.10.0', '>= 10.*', '10.* || >= 12.*',
  '^8 || ^9', '^18 || ^19.0.0 || ^19.0.0-rc', '>=18.0.0 <19', '>1.x', '<=1.x', '<2.x.x', '>=2.x', '> = 1.2.3', '>v1', '<=v2.1', '1.2.3 2.3.4', '1.2.3 1.2.3',
  '=1', '=1.x', '=*', '= *', '9007199254740991.x', '9007199254740992', '>9007199254740991', '^9007199254740991.1.1', '\t1.2.3\n', '1.2.3\t||\t2.0.0',
  '>=1.0.0-0', '<2.0.0-0', '>1.0.0-0 <2.0.0-0', '1.0.0--', '^1.0.0-1e5', '1.2.3-01', '>=1.2.3-01', '<=1.2.3-alpha.1 >=1.2.3-0', '1 -2', '1- 2', '-1', '1.2.3-*', 'x - 1', 'v', '>=v', '1.2.3||', '||1.2.3',
  ' || ', '>=1 || <0', '^1 || ^1', '~1 ~1', '>1 >1 >2', '>=1.2.3 <=1.2.3', '!1.2.3', '(1)', '>=1,<2', '>=1, <2', '1;2', '1.x.x.x', '*.*.*', '*.*', 'x.x.x', '1.*.*', '>=1.*.*', '<1.*', '~*', '~1.*', '^0.0.0', '^0.0.0-0', '~0.0.0', '0', '0.0', '0.x', '0.0.x']

const number = () => one(['0', '1', '2', '3', '4', '9', '10', '1', '2', '0', 'x', '*'])
const pre = () => one(['', '', '', '', '-0', '-alpha', '-alpha.1', '-beta.2', '-rc.1', '-b.1', '-a', '-01', 'beta', '-x.y', '+b', '-a+b'])
const partial = () => one([
  () => number(), () => `${number()}.${number()}`, () => `${number()}.${number()}.${number()}${pre()}`,
  () => `${number()}.${number()}.${number()}${pre()}`,
  () => `${random(4)}.${random(5)}.${random(6)}${pre()}`, () => one(versions).trim() || '1'])()
const op = () => one(['', '', '>', '<', '>=', '<=', '=', '^', '^', '^', '~', '~', '~>', '> ', '>= ', '^ ', '~ ', 'v', '==', '=v'])
const piece = () => random(8) ? op() + partial() : `${partial()} - ${partial()}`
const branch = () => random(3) ? piece() : `${piece()} ${piece()}${random(4) ? '' : ' ' + piece()}`
while (ranges.length < 1100) {
  ranges.push(random(3) ? branch() : `${branch()}${one(['||', ' || ', ' ||', '|| '])}${branch()}`)
}

const text = s => JSON.stringify(s).slice(1, -1)
const order = versions.filter(v => semver.valid(v, true)).sort((a, b) => semver.compare(a, b, true))
const rank = v => order.filter(o => semver.compare(o, v, true) < 0).length
const out = []
for (const v of versions) {
  const loose = semver.valid(v, true)
  out.push(['v', text(v), semver.valid(v) || '-', loose || '-', loose ? rank(v) : 0].join('\t'))
}
const bits = (r, opt) => {
  let hex = ''
  for (let i = 0; i < versions.length; i += 4) {
    let n = 0
    for (let k = 0; k < 4; k++) {
      n = n * 2 + (i + k < versions.length && semver.satisfies(versions[i + k], r, opt) ? 1 : 0)
    }
    hex += n.toString(16)
  }
  return hex
}
const shown = r => r === null ? '-' : r
for (const r of new Set(ranges)) {
  const incl = { includePrerelease: true }
  out.push(['r', text(r), shown(semver.validRange(r)), shown(semver.validRange(r, true)),
    shown(semver.validRange(r, incl)), bits(r, {}), bits(r, true), bits(r, incl)].join('\t'))
}
console.log(out.join('\n'))
