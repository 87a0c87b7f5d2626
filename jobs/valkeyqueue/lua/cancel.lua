-- ARGV: key, outcome, how many milliseconds to keep it.
local r = record(ARGV[1])
if not r then return 0 end
displace(r)
tell(r, ARGV[2])
if tonumber(ARGV[3]) > 0 then call('SET', B .. 'o' .. r.key, ARGV[2], 'PX', ARGV[3]) end
call('UNLINK', B .. 'j' .. r.key)
return 1
