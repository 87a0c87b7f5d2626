-- ARGV: replica, keys. It returns a 1 for each job that was dropped.
local dropped = {}
for i = 2, #ARGV do
  local r = record(ARGV[i])
  dropped[i - 1] = 0
  if r then
    local before = r.w
    leave(r, ARGV[1])
    if r.s == 'l' or r.p == '1' or r.w ~= '' then
      if r.w ~= before then call('HSET', B .. 'j' .. r.key, 'w', r.w) end
    elseif r.b then
      local at = displace(r)
      r.p, r.x = '1', 0 -- nobody's time runs any more
      place(r, at)
      store(r)
    else
      displace(r)
      call('UNLINK', B .. 'j' .. r.key)
      dropped[i - 1] = 1
    end
  end
end
return dropped
