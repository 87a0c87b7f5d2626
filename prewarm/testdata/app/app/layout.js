export const metadata = { title: 'x', metadataBase: new URL('https://shop.example') }
export default function Layout({ children }) { return <html lang="en"><body>{children}</body></html> }
