-- ARGV: replica, keys. It returns for each the outcome, or 1 if the job is there, or 0.
local found = {}
for i = 2, #ARGV do
  local r = record(ARGV[i])
  -- A queued job that nobody waits for is another one than was asked for.
  if r and (r.p == '0' or r.s == 'l') then
    if not waits(r, ARGV[1]) then
      await(r, ARGV[1])
      call('HSET', B .. 'j' .. r.key, 'w', r.w)
    end
    found[i - 1] = 1
  else
    found[i - 1] = not r and call('GET', B .. 'o' .. ARGV[i]) or 0
  end
end
return found
