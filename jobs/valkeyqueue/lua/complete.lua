-- ARGV: key, token, replica, outcome, how many milliseconds to keep it, 1 for a dead letter, 1 if it counts for the pace.
local r = record(ARGV[1])
if not holds(r, ARGV[2]) then return 0 end
displace(r)
tell(r, ARGV[4], ARGV[3])
if tonumber(ARGV[5]) > 0 then call('SET', B .. 'o' .. r.key, ARGV[4], 'PX', ARGV[5]) end
if ARGV[6] == '1' then
  local more = call('HMGET', B .. 'j' .. r.key, 'i', 'k')
  call('XADD', B .. 'x', 'MAXLEN', '~', 1000, '*', 'j', r.key, 'i', more[1] or '', 'k', more[2] or '', 'a', num(r.a),
    'f', ARGV[4])
end
call('UNLINK', B .. 'j' .. r.key)
if r.p == '0' and ARGV[7] == '1' then call('HINCRBY', B .. 'm', 'done', 1) end
return 1
