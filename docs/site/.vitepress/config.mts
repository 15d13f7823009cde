// The documentation as a website, made of the Markdown files as they are.
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { defineConfig } from 'vitepress'

const root = resolve(import.meta.dirname, '../../..')
const base = process.env.SITE_BASE ?? '/' // such as /twofa/
const source = 'https://github.com/twofa-go/twofa/blob/main/'

// The pages in the order in which docs/README.md names them first.
const index = readFileSync(join(root, 'docs/README.md'), 'utf8')
const pages = new Set([...index.matchAll(/\]\(([^)#]+\.md)/g)].map(([, to]) => join('docs', to)))
const sidebar = ['README.md', 'docs/README.md', ...pages, 'CHANGELOG.md', 'SECURITY.md'].map(page => ({
	text: readFileSync(join(root, page), 'utf8').match(/^# (.*)/m)![1].replaceAll('`', ''),
	link: '/' + page.replace('README.md', ''),
}))

// Anchors as on GitHub.
const slugify = (heading: string) => heading.trim().toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-')

export default defineConfig({
	title: 'twofa',
	description: 'A second factor for the login you already have',
	base,
	head: [['link', { rel: 'icon', href: 'data:,' }], ['style', {}, '.vp-doc :not(pre):not(td) > code, .vp-doc a { overflow-wrap: anywhere }']],
	srcDir: 'out/pages', // a copy, because pages must be below the folder that has node_modules
	outDir: 'out/site',
	cacheDir: 'out/cache',
	ignoreDeadLinks: 'localhostLinks',
	rewrites: { 'README.md': 'index.md', 'docs/README.md': 'docs/index.md' },
	markdown: {
		anchor: { slugify },
		headers: { slugify },
		config(md) {
			// No text is a template.
			const code = md.renderer.rules.code_inline!
			md.renderer.rules.code_inline = (...args) => code(...args).replace('<code', '<code v-pre')
			md.renderer.rules.code_block = (...args) => md.renderer.rules.fence!(...args) // indented code looks like other code
			// A link to a file of the source leads to the repository.
			md.core.ruler.push('source', state => {
				for (const token of state.tokens.flatMap(t => t.children ?? [])) {
					token.content = token.content.replace(/^\[ \] /, '☐ ') // of a checklist
					const to = token.type === 'link_open' && token.attrGet('href')
					if (!to || /^(#|[a-z]+:)/.test(to)) continue
					const [path, anchor] = to.split('#')
					const file = relative(root, resolve(root, dirname(state.env.relativePath), path))
					if (!existsSync(join(root, file))) throw new Error(`${state.env.relativePath}: no file ${to}`)
					if (!file.endsWith('.md') || file.startsWith('internal/')) token.attrSet('href', source + file)
					else token.attrSet('href', '/' + file.replace('README.md', '') + (anchor ? '#' + anchor : ''))
				}
			})
		},
	},
	// Each link and picture within the site, with its anchor, must exist.
	buildEnd({ outDir }) {
		const files = readdirSync(outDir, { recursive: true, encoding: 'utf8' })
		const html = new Map(files.map(file => [base + file, file.endsWith('.html') ? readFileSync(join(outDir, file), 'utf8') : '']))
		const dead = [...html].flatMap(([page, text]) => [...text.matchAll(/ (?:href|src)="([^"]*)"/g)].map(([, to]) => {
			const url = new URL(to.replaceAll('&amp;', '&'), 'https://site.invalid' + page)
			const target = html.get(url.pathname.replace(/\/$/, '/index.html'))
			const found = target != null && (!url.hash || target.includes(` id="${decodeURIComponent(url.hash.slice(1))}"`))
			return url.host == 'site.invalid' && !found ? `\n${page}: ${to}` : ''
		}))
		if (dead.some(Boolean)) throw new Error('dead links:' + dead.join(''))
	},
	themeConfig: {
		search: { provider: 'local' },
		outline: [2, 3],
		sidebar: [{ items: sidebar }],
		nav: [{ text: 'Tutorial', link: '/docs/tutorial' }, { text: 'Source', link: 'https://github.com/twofa-go/twofa' }],
	},
})
